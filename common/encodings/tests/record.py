#!/usr/bin/env python3
"""Records what Python reads from bytes 0x80 to 0xFF: `record.py > python-encodings.txt`."""

NAMES = [f"cp125{n}" for n in (0, 1, 2, 3, 4, 6, 7)]
NAMES += [f"iso8859-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)]
NAMES += ["ascii", "koi8-r", "cp866"]


def letter(name, byte):
    try:
        return f"{ord(bytes([byte]).decode(name)):x}"
    except UnicodeDecodeError:
        return "-"


for name in NAMES:
    print(name, *(letter(name, byte) for byte in range(0x80, 0x100)))
