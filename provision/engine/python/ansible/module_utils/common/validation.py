"""Checks and conversions of arguments."""

import json
import os
import re
from ast import literal_eval

from ansible.module_utils.common.text.converters import jsonify, to_native
from ansible.module_utils.common.text.formatters import human_to_bytes
from ansible.module_utils.parsing.convert_bool import boolean


def count_terms(terms, parameters):
    """How many of the names are given."""
    names = [terms] if isinstance(terms, str) else terms
    return len(set(names).intersection(parameters))


def _context(options_context):
    return " found in %s" % " -> ".join(options_context) if options_context else ""


def check_mutually_exclusive(terms, parameters, options_context=None):
    """At most one of each group may be given."""
    groups = [check for check in terms or [] if count_terms(check, parameters) > 1]
    if groups:
        shown = ", ".join("|".join(group) for group in groups)
        raise TypeError("parameters are mutually exclusive: " + shown + _context(options_context))
    return groups


def check_required_one_of(terms, parameters, options_context=None):
    """At least one of each group must be given."""
    groups = [group for group in terms or [] if count_terms(group, parameters) == 0]
    for group in groups:
        message = "one of the following is required: %s" % ", ".join(group)
        raise TypeError(message + _context(options_context))
    return groups


def check_required_together(terms, parameters, options_context=None):
    """All of each group must be given, or none."""
    for group in terms or []:
        given = [name in parameters for name in group]
        if any(given) and not all(given):
            message = "parameters are required together: %s" % ", ".join(group)
            raise TypeError(message + _context(options_context))
    return []


def check_required_by(requirements, parameters, options_context=None):
    """What one parameter asks for besides."""
    result = {}
    for name, required in (requirements or {}).items():
        if parameters.get(name) is None:
            continue
        names = [required] if isinstance(required, str) else required
        result[name] = [other for other in names if parameters.get(other) is None]
        if result[name]:
            message = "missing parameter(s) required by '%s': %s" % (name, ", ".join(result[name]))
            raise TypeError(message + _context(options_context))
    return result


def check_required_arguments(argument_spec, parameters, options_context=None):
    """What the specification requires."""
    missing = [
        name
        for name, rule in (argument_spec or {}).items()
        if rule.get("required", False) and name not in parameters
    ]
    if missing:
        message = "missing required arguments: %s" % ", ".join(sorted(missing))
        raise TypeError(message + _context(options_context))
    return missing


def check_required_if(requirements, parameters, options_context=None):
    """What a value of one parameter asks for besides."""
    for requirement in requirements or []:
        name, value, names = requirement[:3]
        is_one_of = len(requirement) > 3 and requirement[3]
        if name not in parameters or parameters[name] != value:
            continue
        missing = [other for other in names if parameters.get(other) is None]
        if not missing or (is_one_of and len(missing) < len(names)):
            continue
        term = "any" if is_one_of else "all"
        message = "%s is %s but %s of the following are missing: %s" % (
            name,
            value,
            term,
            ", ".join(missing),
        )
        raise TypeError(message + _context(options_context))
    return []


def check_missing_parameters(parameters, required_parameters=None):
    """Names that are not given."""
    missing = [name for name in required_parameters or [] if not parameters.get(name)]
    if missing:
        raise TypeError("missing required arguments: %s" % ", ".join(missing))
    return missing


def check_type_str(value, allow_conversion=True, param=None, prefix=""):
    """Text; other values are written out."""
    if isinstance(value, str):
        return value
    if allow_conversion and value is not None:
        return to_native(value, errors="surrogate_or_strict")
    raise TypeError(
        "'%r' is not a string and conversion is not allowed" % (value,)
        if value is not None
        else "'None' is not a string and conversion is not allowed"
    )


def check_type_list(value):
    """A list; text is split at commas."""
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return value.split(",")
    if isinstance(value, (int, float)):
        return [str(value)]
    raise TypeError("%s cannot be converted to a list" % type(value))


_PAIR = re.compile(r"""\s*([^=\s,]+)\s*=\s*("(?:\\.|[^"])*"|'(?:\\.|[^'])*'|[^,\s]*)\s*,?""")


def _pairs(text):
    result, at = {}, 0
    while at < len(text.rstrip()):
        match = _PAIR.match(text, at)
        if match is None:
            raise TypeError("unable to evaluate string as dictionary")
        value = match.group(2)
        if value[:1] in ("'", '"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        result[match.group(1)] = value
        at = match.end()
    return result


def check_type_dict(value):
    """A mapping; text is JSON, a literal of Python, or `key=value` words."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        if value.startswith("{"):
            try:
                return json.loads(value)
            except ValueError:
                try:
                    result = literal_eval(value)
                except (ValueError, SyntaxError, MemoryError, RecursionError):
                    result = None
                if not isinstance(result, dict):
                    raise TypeError("unable to evaluate string as dictionary")
                return result
        if "=" in value:
            return _pairs(value)
        raise TypeError("dictionary requested, could not parse JSON or key=value")
    raise TypeError("%s cannot be converted to a dict" % type(value))


def check_type_bool(value):
    """A boolean, or a word that means one."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (str, bytes, int, float)):
        return boolean(value)
    raise TypeError("%s cannot be converted to a bool" % type(value))


def check_type_int(value):
    """A whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        if isinstance(value, float):
            if value == int(value):
                return int(value)
            raise ValueError
        if isinstance(value, bool):
            return int(value)
        text = str(value)
        try:
            return int(text)
        except ValueError:
            # `5.0` is 5, and `5.5` is no whole number.
            number = float(text)
            if number != int(number):
                raise
            return int(number)
    except (TypeError, ValueError, OverflowError):
        raise TypeError("%s cannot be converted to an int" % type(value))


def check_type_float(value):
    """A number."""
    if isinstance(value, float):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError("%s cannot be converted to a float" % type(value))


def check_type_path(value):
    """A path, with `~` and variables filled in."""
    return os.path.expanduser(os.path.expandvars(check_type_str(value)))


def check_type_raw(value):
    """Anything."""
    return value


def check_type_bytes(value):
    """A number of bytes, as `10M`."""
    try:
        return human_to_bytes(value)
    except ValueError:
        raise TypeError("%s cannot be converted to a Byte value" % type(value))


def check_type_bits(value):
    """A number of bits, as `10Mb`."""
    try:
        return human_to_bytes(value, isbits=True)
    except ValueError:
        raise TypeError("%s cannot be converted to a Bit value" % type(value))


def check_type_jsonarg(value):
    """JSON as text; containers are written out."""
    if isinstance(value, (str, bytes)):
        return to_native(value).strip()
    if isinstance(value, (list, tuple, dict)):
        return jsonify(value)
    raise TypeError("%s cannot be converted to a json string" % type(value))


def safe_eval(value, locals=None, include_exceptions=False):
    """A literal of Python; other text is itself."""
    result, error = value, None
    if isinstance(value, str):
        try:
            result = literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as problem:
            error = problem
    return (result, error) if include_exceptions else result


CHECKERS = {
    "str": check_type_str,
    "list": check_type_list,
    "dict": check_type_dict,
    "bool": check_type_bool,
    "int": check_type_int,
    "float": check_type_float,
    "path": check_type_path,
    "raw": check_type_raw,
    "jsonarg": check_type_jsonarg,
    "json": check_type_jsonarg,
    "bytes": check_type_bytes,
    "bits": check_type_bits,
}
