"""Bits of files."""

import os
import stat

S_IRANU = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
S_IWANU = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
S_IXANU = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
S_IRWU_RG_RO = stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH
S_IRWXU_RXG_RXO = S_IRANU | S_IXANU | stat.S_IWUSR
_PERM_BITS = 0o7777
_DEFAULT_PERM = 0o0666
_EXEC_PERM_BITS = 0o0111
FILE_ATTRIBUTES = {
    "A": "noatime",
    "a": "append",
    "c": "compressed",
    "C": "nocow",
    "d": "nodump",
    "D": "dirsync",
    "e": "extents",
    "E": "encrypted",
    "h": "blocksize",
    "i": "immutable",
    "I": "indexed",
    "j": "journalled",
    "N": "inline",
    "s": "zero",
    "S": "synchronous",
    "t": "notail",
    "T": "blockroot",
    "u": "undelete",
    "X": "compressedraw",
    "Z": "compresseddirty",
}


def is_executable(path):
    """Whether somebody may run it."""
    return bool(S_IXANU & os.stat(path).st_mode)
