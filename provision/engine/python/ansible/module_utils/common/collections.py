"""Kinds of containers."""

from collections.abc import Hashable, Mapping, MutableMapping, MutableSequence, Sequence


class ImmutableDict(Hashable, Mapping):
    """A mapping that can't be changed."""

    def __init__(self, *args, **kwargs):
        self._store = dict(*args, **kwargs)

    def __getitem__(self, key):
        return self._store[key]

    def __iter__(self):
        return iter(self._store)

    def __len__(self):
        return len(self._store)

    def __hash__(self):
        return hash(frozenset(self.items()))

    def __eq__(self, other):
        return isinstance(other, Mapping) and dict(self) == dict(other)

    def __repr__(self):
        return "ImmutableDict(%r)" % self._store

    def union(self, overriding_mapping):
        return ImmutableDict(self._store, **overriding_mapping)

    def difference(self, subtractive_iterable):
        return ImmutableDict((k, v) for k, v in self.items() if k not in subtractive_iterable)


def is_string(seq):
    return isinstance(seq, (str, bytes))


def is_iterable(seq, include_strings=False):
    """Whether something can be gone through; texts only if asked for."""
    if not include_strings and is_string(seq):
        return False
    try:
        iter(seq)
    except TypeError:
        return False
    return True


def is_sequence(seq, include_strings=False):
    """Whether something is a list or the like; texts only if asked for."""
    if not include_strings and is_string(seq):
        return False
    return isinstance(seq, Sequence)


def count(seq):
    """How often each item is there."""
    if not is_iterable(seq):
        raise Exception("Argument provided  is not an iterable")
    counters = {}
    for item in seq:
        counters[item] = counters.get(item, 0) + 1
    return counters


__all__ = [
    "Hashable",
    "ImmutableDict",
    "Mapping",
    "MutableMapping",
    "MutableSequence",
    "Sequence",
    "count",
    "is_iterable",
    "is_sequence",
    "is_string",
]
