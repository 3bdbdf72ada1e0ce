"""Versions that can be compared, after the classes of `distutils`."""

import functools
import re


@functools.total_ordering
class Version:
    """Parses a text into `self.version`, which is compared."""

    def __init__(self, vstring=None):
        if vstring:
            self.parse(vstring)

    def parse(self, vstring):
        raise NotImplementedError

    def _other(self, other):
        return type(self)(other) if isinstance(other, str) else other

    def __eq__(self, other):
        return self.version == self._other(other).version

    def __lt__(self, other):
        return self.version < self._other(other).version

    def __hash__(self):
        return hash(str(self))

    def __repr__(self):
        return "%s('%s')" % (type(self).__name__, self)


class LooseVersion(Version):
    """Numbers and words, in any form."""

    component_re = re.compile(r"(\d+ | [a-z]+ | \.)", re.VERBOSE)

    def parse(self, vstring):
        self.vstring = vstring
        parts = [part for part in self.component_re.split(vstring) if part and part != "."]
        self.version = [int(part) if part.isdigit() else part for part in parts]

    def __str__(self):
        return self.vstring


class StrictVersion(Version):
    """Two or three numbers, and `a1` or `b1` for what comes before a release."""

    version_re = re.compile(r"^(\d+)\.(\d+)(\.(\d+))?([ab](\d+))?$")

    def parse(self, vstring):
        match = self.version_re.match(vstring)
        if match is None:
            raise ValueError("invalid version number '%s'" % vstring)
        major, minor, _, patch, before, number = match.groups()
        self.vstring = vstring
        self.prerelease = (before[0], int(number)) if before else None
        self.version = (
            (int(major), int(minor), int(patch or 0)),
            (0,) + self.prerelease if self.prerelease else (1, "", 0),
        )

    def __str__(self):
        return self.vstring
