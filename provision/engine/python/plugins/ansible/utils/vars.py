"""Dictionaries put together."""


def merge_hash(x, y, recursive=True, list_merge="replace"):
    """The entries of both; those of `y` win."""
    if not recursive and list_merge == "replace":
        return {**x, **y}
    merged = dict(x)
    for key, value in y.items():
        known = merged.get(key)
        if recursive and isinstance(known, dict) and isinstance(value, dict):
            merged[key] = merge_hash(known, value, recursive, list_merge)
        elif isinstance(known, list) and isinstance(value, list):
            merged[key] = merged_lists(known, value, list_merge)
        else:
            merged[key] = value
    return merged


def merged_lists(known, new, how):
    if how == "append":
        return known + new
    if how == "prepend":
        return new + known
    if how == "append_rp":
        return [item for item in known if item not in new] + new
    if how == "prepend_rp":
        return new + [item for item in known if item not in new]
    return new


def combine_vars(a, b, merge=None):
    """As Ansible's `hash_behaviour = replace` does it."""
    return {**a, **b}
