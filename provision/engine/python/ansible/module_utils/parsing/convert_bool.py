"""Which words are booleans."""

BOOLEANS_TRUE = frozenset(("y", "yes", "on", "1", "true", "t", 1, 1.0, True))
BOOLEANS_FALSE = frozenset(("n", "no", "off", "0", "false", "f", 0, 0.0, False))
BOOLEANS = BOOLEANS_TRUE.union(BOOLEANS_FALSE)


def boolean(value, strict=True):
    """The boolean that a value means; without `strict` anything unknown is false."""
    if isinstance(value, bool):
        return value
    word = value
    if isinstance(value, bytes):
        word = value.decode("utf-8", "replace")
    if isinstance(word, str):
        word = word.lower().strip()
    try:
        if word in BOOLEANS_TRUE:
            return True
        if word in BOOLEANS_FALSE or not strict:
            return False
    except TypeError:
        if not strict:
            return False
    raise TypeError(
        "The value '%s' is not a valid boolean.  Valid booleans include: %s"
        % (value, ", ".join(repr(word) for word in BOOLEANS))
    )
