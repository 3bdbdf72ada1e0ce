"""Mappings: spelling of keys, merging, differences."""

import re
from copy import deepcopy


def _camel_to_snake(name, reversible=False):
    if reversible:
        return re.sub("([A-Z])", lambda match: "_" + match.group(1).lower(), name).lstrip("_")
    # Runs of capitals are one word: `HTTPEndpoint` is http_endpoint, `TargetGroupARNs` its plural.
    name = re.sub(r"[A-Z]{3,}s$", lambda match: "_" + match.group(0).lower(), name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def _snake_to_camel(snake, capitalize_first=False):
    words = snake.split("_")
    first = words[0].capitalize() if capitalize_first else words[0]
    return first + "".join(word.capitalize() or "_" for word in words[1:])


def _with_keys(value, change, ignored=()):
    if isinstance(value, dict):
        return {
            change(key): entry if key in ignored else _with_keys(entry, change, ignored)
            for key, entry in value.items()
        }
    if isinstance(value, list):
        return [_with_keys(item, change, ignored) for item in value]
    return value


def camel_dict_to_snake_dict(camel_dict, reversible=False, ignore_list=()):
    """`TargetGroup` becomes `target_group`, at any depth."""
    return _with_keys(camel_dict, lambda key: _camel_to_snake(key, reversible), ignore_list)


def snake_dict_to_camel_dict(snake_dict, capitalize_first=False):
    """`target_group` becomes `targetGroup`, at any depth."""
    return _with_keys(snake_dict, lambda key: _snake_to_camel(key, capitalize_first))


def dict_merge(a, b):
    """Both mappings in one, at any depth; `b` wins."""
    if not isinstance(b, dict):
        return b
    result = deepcopy(a)
    for key, value in b.items():
        if isinstance(result.get(key), dict):
            result[key] = dict_merge(result[key], value)
        else:
            result[key] = deepcopy(value)
    return result


def recursive_diff(dict1, dict2):
    """What is only, or otherwise, in each of two mappings; `None` if they are equal."""
    if not all(isinstance(item, dict) for item in (dict1, dict2)):
        raise TypeError("Unable to diff 'dict1' %s and 'dict2' %s." % (type(dict1), type(dict2)))
    left = {key: value for key, value in dict1.items() if key not in dict2}
    right = {key: value for key, value in dict2.items() if key not in dict1}
    for key in set(dict1) & set(dict2):
        one, other = dict1[key], dict2[key]
        if isinstance(one, dict) and isinstance(other, dict):
            inner = recursive_diff(one, other)
            if inner:
                left[key], right[key] = inner
        elif one != other:
            left[key], right[key] = one, other
    return (left, right) if left or right else None
