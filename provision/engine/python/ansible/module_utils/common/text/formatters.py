"""Sizes, for people and from people; lists of lines."""

import re

SIZE_RANGES = {
    "Y": 1 << 80,
    "Z": 1 << 70,
    "E": 1 << 60,
    "P": 1 << 50,
    "T": 1 << 40,
    "G": 1 << 30,
    "M": 1 << 20,
    "K": 1 << 10,
    "B": 1,
}


def lenient_lowercase(lst):
    """Texts of a list in lower case; other values as they are."""
    return [value.lower() if isinstance(value, str) else value for value in lst]


def human_to_bytes(number, default_unit=None, isbits=False):
    """`10M` as a number of bytes (or bits)."""
    match = re.match(r"^\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]+)?\s*$", str(number))
    if match is None:
        raise ValueError("human_to_bytes() can't interpret following string: %s" % number)
    amount, unit = float(match.group(1)), match.group(2) or default_unit
    if not unit:
        return int(round(amount))
    limit = SIZE_RANGES.get(unit[0].upper())
    rest = unit[1:]
    small = "b" if isbits else "B"
    words = ("", small, "bit" if isbits else "byte", "bits" if isbits else "bytes")
    full = ("bit", "bits") if isbits else ("byte", "bytes")
    if limit is None or (rest not in words and unit.lower() not in full):
        raise ValueError(
            "human_to_bytes() failed to convert %s (unit = %s). The suffix must be one of %s"
            % (number, unit, ", ".join(SIZE_RANGES))
        )
    return int(round(amount * (1 if unit.lower() in full else limit)))


def bytes_to_human(size, isbits=False, unit=None):
    """A number of bytes (or bits) for people."""
    base = "bits" if isbits else "Bytes"
    suffix, limit = "", 1
    for suffix, limit in sorted(SIZE_RANGES.items(), key=lambda entry: -entry[1]):
        if (unit is None and size >= limit) or (unit is not None and unit.upper() == suffix[0]):
            break
    suffix = suffix + base[0] if limit != 1 else base
    return "%.2f %s" % (size / limit, suffix)
