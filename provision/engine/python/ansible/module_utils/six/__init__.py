"""What modules use of `six`, on Python 3."""

import builtins
import configparser
import functools
import io
import itertools
import sys
import types
import urllib.error
import urllib.parse
import urllib.request
import urllib.response

PY2 = False
PY3 = True
PY34 = True

string_types = (str,)
integer_types = (int,)
class_types = (type,)
text_type = str
binary_type = bytes
MAXSIZE = sys.maxsize

StringIO = io.StringIO
BytesIO = io.BytesIO
unichr = chr
next = builtins.next
advance_iterator = builtins.next
wraps = functools.wraps


def b(text):
    return text.encode("latin-1")


def u(text):
    return text


def iteritems(mapping, **kwargs):
    return iter(mapping.items(**kwargs))


def iterkeys(mapping, **kwargs):
    return iter(mapping.keys(**kwargs))


def itervalues(mapping, **kwargs):
    return iter(mapping.values(**kwargs))


def viewitems(mapping):
    return mapping.items()


def viewkeys(mapping):
    return mapping.keys()


def viewvalues(mapping):
    return mapping.values()


def callable(thing):
    return builtins.callable(thing)


def raise_from(error, cause):
    raise error from cause


def reraise(kind, error, trace=None):
    if error is None:
        error = kind()
    raise error.with_traceback(trace)


def with_metaclass(meta, *bases):
    """A base class with a metaclass."""
    return meta("temporary_class", bases, {})


def add_metaclass(meta):
    """A decorator that gives a class a metaclass."""

    def wrapper(cls):
        variables = dict(cls.__dict__)
        variables.pop("__dict__", None)
        variables.pop("__weakref__", None)
        return meta(cls.__name__, cls.__bases__, variables)

    return wrapper


def python_2_unicode_compatible(cls):
    return cls


def ensure_text(value, encoding="utf-8", errors="strict"):
    return value.decode(encoding, errors) if isinstance(value, bytes) else value


def ensure_str(value, encoding="utf-8", errors="strict"):
    return ensure_text(value, encoding, errors)


def ensure_binary(value, encoding="utf-8", errors="strict"):
    return value.encode(encoding, errors) if isinstance(value, str) else value


def _module(name, **names):
    module = types.ModuleType(__name__ + "." + name)
    module.__dict__.update(names)
    sys.modules[module.__name__] = module
    return module


def _public(module):
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}


_urllib = _module(
    "moves.urllib",
    error=_module("moves.urllib.error", **_public(urllib.error)),
    parse=_module("moves.urllib.parse", **_public(urllib.parse)),
    request=_module("moves.urllib.request", **_public(urllib.request)),
    response=_module("moves.urllib.response", **_public(urllib.response)),
)
_urllib.__path__ = []
moves = _module(
    "moves",
    builtins=builtins,
    configparser=configparser,
    filter=filter,
    filterfalse=itertools.filterfalse,
    input=input,
    map=map,
    range=range,
    reduce=functools.reduce,
    shlex_quote=__import__("shlex").quote,
    StringIO=io.StringIO,
    cStringIO=io.StringIO,
    urllib=_urllib,
    xrange=range,
    zip=zip,
    zip_longest=itertools.zip_longest,
)
moves.__path__ = []
for _name in ("builtins", "configparser"):
    sys.modules[__name__ + ".moves." + _name] = getattr(moves, _name)
for _name, _target in (
    ("http_client", "http.client"),
    ("http_cookies", "http.cookies"),
    ("http_cookiejar", "http.cookiejar"),
    ("queue", "queue"),
    ("cPickle", "pickle"),
):
    try:
        _found = __import__(_target, fromlist=["_"])
    except ImportError:
        continue
    setattr(moves, _name, _found)
    sys.modules[__name__ + ".moves." + _name] = _found
