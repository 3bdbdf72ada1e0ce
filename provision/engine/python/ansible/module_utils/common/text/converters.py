"""Between text and bytes, and to JSON."""

import datetime
import json
from collections.abc import Mapping, Set

_SURROGATES = {
    "surrogate_or_strict": ("surrogateescape", "strict"),
    "surrogate_or_replace": ("surrogateescape", "replace"),
    "surrogate_then_replace": ("surrogateescape", "replace"),
    None: ("surrogateescape", "replace"),
}


def _handlers(errors):
    return _SURROGATES.get(errors, (errors, errors))


def _other(value, nonstring):
    """What stands for a value that is neither text nor bytes: `(text, is_final)`."""
    if nonstring == "simplerepr":
        try:
            return str(value)
        except UnicodeError:
            return repr(value)
    if nonstring == "passthru":
        return None
    if nonstring == "empty":
        return ""
    if nonstring == "strict":
        raise TypeError("obj must be a string type")
    raise TypeError("Invalid value %s for the parameter nonstring" % nonstring)


def to_bytes(obj, encoding="utf-8", errors=None, nonstring="simplerepr"):
    """A value as bytes."""
    if isinstance(obj, bytes):
        return obj
    if isinstance(obj, str):
        first, second = _handlers(errors)
        try:
            return obj.encode(encoding, first)
        except UnicodeEncodeError:
            return obj.encode(encoding, second)
    text = _other(obj, nonstring)
    return obj if text is None else to_bytes(text, encoding, errors, "strict")


def to_text(obj, encoding="utf-8", errors=None, nonstring="simplerepr"):
    """A value as text."""
    if isinstance(obj, str):
        return obj
    if isinstance(obj, bytes):
        first, second = _handlers(errors)
        try:
            return obj.decode(encoding, first)
        except UnicodeDecodeError:
            return obj.decode(encoding, second)
    text = _other(obj, nonstring)
    return obj if text is None else text


to_native = to_text


def _json_default(value):
    if isinstance(value, bytes):
        return to_text(value)
    if isinstance(value, Set):
        return list(value)
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError("Cannot json serialize %s" % to_native(value))


def jsonify(data, **kwargs):
    """A value as JSON; broken text is kept as far as JSON can."""
    kwargs.pop("encoding", None)
    kwargs.setdefault("default", _json_default)
    text = json.dumps(container_to_text(data), **kwargs)
    # What is no text in any encoding becomes an escape that every reader takes.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _converted(value, kind, convert):
    """What is of a kind, at any depth of a value, converted."""
    if isinstance(value, kind):
        return convert(value)
    if isinstance(value, dict):
        return {
            _converted(key, kind, convert): _converted(item, kind, convert)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return type(value)([_converted(item, kind, convert) for item in value])
    return value


def container_to_text(d, encoding="utf-8", errors="surrogate_or_strict"):
    """A value whose bytes, at any depth, are text."""
    return _converted(d, bytes, lambda item: to_text(item, encoding=encoding, errors=errors))


def container_to_bytes(d, encoding="utf-8", errors="surrogate_or_strict"):
    """A value whose text, at any depth, is bytes."""
    return _converted(d, str, lambda item: to_bytes(item, encoding=encoding, errors=errors))
