"""Requests over HTTP, with the standard library."""

import base64
import os
import ssl
import urllib.error
import urllib.request
from urllib.error import HTTPError, URLError  # noqa: F401
from urllib.parse import unquote, urlparse

from ansible.module_utils.common.text.converters import to_bytes, to_native

DEFAULT_AGENT = "ansible-httpget"


class ConnectionError(Exception):
    """No connection."""


class SSLValidationError(ConnectionError):
    """The other side isn't who it should be."""


def url_argument_spec():
    """The parameters that `fetch_url` reads."""
    return dict(
        url=dict(type="str"),
        force=dict(type="bool", default=False),
        http_agent=dict(type="str", default=DEFAULT_AGENT),
        use_proxy=dict(type="bool", default=True),
        validate_certs=dict(type="bool", default=True),
        url_username=dict(type="str"),
        url_password=dict(type="str", no_log=True),
        force_basic_auth=dict(type="bool", default=False),
        client_cert=dict(type="path"),
        client_key=dict(type="path"),
        use_gssapi=dict(type="bool", default=False),
    )


class _Request(urllib.request.Request):
    def __init__(self, url, method, **kwargs):
        super().__init__(url, **kwargs)
        self._method = method

    def get_method(self):
        return self._method or super().get_method()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        return None


def open_url(
    url,
    data=None,
    headers=None,
    method=None,
    use_proxy=True,
    force=False,
    last_mod_time=None,
    timeout=10,
    validate_certs=True,
    url_username=None,
    url_password=None,
    http_agent=None,
    force_basic_auth=False,
    follow_redirects="urllib2",
    client_cert=None,
    client_key=None,
    cookies=None,
    ca_path=None,
    **_
):
    """The answer to a request; raises what `urllib` raises."""
    parts = urlparse(url)
    if parts.username and not url_username:
        url_username, url_password = unquote(parts.username), unquote(parts.password or "")
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    handlers = []
    if not use_proxy:
        handlers.append(urllib.request.ProxyHandler({}))
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=ca_path)
        if not validate_certs:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if client_cert:
            context.load_cert_chain(client_cert, client_key)
        handlers.append(urllib.request.HTTPSHandler(context=context))
    if cookies is not None:
        handlers.append(urllib.request.HTTPCookieProcessor(cookies))
    if follow_redirects in (False, "no", "none"):
        handlers.append(_NoRedirect)
    request = _Request(url, method, data=to_bytes(data) if data is not None else None)
    request.add_header("User-agent", http_agent or DEFAULT_AGENT)
    if url_username:
        if force_basic_auth:
            pair = to_bytes("%s:%s" % (url_username, url_password or ""))
            word = base64.b64encode(pair).decode("ascii")
            request.add_header("Authorization", "Basic %s" % word)
        else:
            store = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            store.add_password(None, url, url_username, url_password)
            handlers.append(urllib.request.HTTPBasicAuthHandler(store))
            handlers.append(urllib.request.HTTPDigestAuthHandler(store))
    if force:
        request.add_header("cache-control", "no-cache")
    elif last_mod_time:
        request.add_header(
            "If-Modified-Since", last_mod_time.strftime("%a, %d %b %Y %H:%M:%S GMT")
        )
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    return urllib.request.build_opener(*handlers).open(request, timeout=timeout)


def fetch_url(
    module,
    url,
    data=None,
    headers=None,
    method=None,
    use_proxy=None,
    force=False,
    last_mod_time=None,
    timeout=10,
    ca_path=None,
    cookies=None,
    **_
):
    """The answer to a request and what is known of it; `None` if there is no answer."""
    given = module.params
    info = {"url": url, "status": -1}
    response = None
    try:
        response = open_url(
            url,
            data=data,
            headers=headers,
            method=method,
            use_proxy=given.get("use_proxy", True) if use_proxy is None else use_proxy,
            force=force,
            last_mod_time=last_mod_time,
            timeout=timeout,
            validate_certs=given.get("validate_certs", True),
            url_username=given.get("url_username", "") or None,
            url_password=given.get("url_password", "") or None,
            http_agent=given.get("http_agent"),
            force_basic_auth=given.get("force_basic_auth", False),
            follow_redirects=given.get("follow_redirects", "urllib2"),
            client_cert=given.get("client_cert"),
            client_key=given.get("client_key"),
            cookies=cookies,
            ca_path=ca_path,
        )
        info.update((name.lower(), value) for name, value in response.info().items())
        length = response.headers.get("Content-Length", "unknown")
        info.update(msg="OK (%s bytes)" % length, url=response.geturl(), status=response.code)
    except HTTPError as error:
        info.update((name.lower(), value) for name, value in error.info().items())
        info.update(msg=to_native(error), body=error.read(), status=error.code)
    except URLError as error:
        code = int(getattr(error, "code", -1))
        info.update(msg="Request failed: %s" % to_native(error), status=code)
    except OSError as error:
        info.update(msg="Connection failure: %s" % to_native(error), status=-1)
    except Exception as error:
        info.update(msg="An unknown error occurred: %s" % to_native(error), status=-1)
    return response, info


def fetch_file(module, url, data=None, headers=None, method=None, timeout=10, **kwargs):
    """Fetches into a temporary file, which goes away with the call; answers its path."""
    name, _, ending = os.path.basename(urlparse(url).path).partition(".")
    import tempfile

    target = tempfile.NamedTemporaryFile(
        dir=module.tmpdir, prefix=name, suffix="." + ending, delete=False
    )
    module.add_cleanup_file(target.name)
    response, info = fetch_url(module, url, data, headers, method, timeout=timeout, **kwargs)
    if not response:
        module.fail_json(msg="Failure downloading %s, %s" % (url, info["msg"]))
    with target:
        for block in iter(lambda: response.read(64 * 1024), b""):
            target.write(block)
    return target.name
