"""Starts a module in Python that the controller sent: the first file of the archive.

The module's name and its arguments come on the standard input, so that no other user of the host
sees them. What the module imports is in the archive; what it misses is named in the result.
"""

import json
import os
import sys


def fail(message, **values):
    """Ends with a result that says what is wrong."""
    values.update(failed=True, changed=False, msg=message)
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()
    sys.exit(1)


def place_of(error, source):
    """The line of the module that an exception came from."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    module = os.path.splitext(os.path.basename(source))[0] + ".py"
    lines = [frame for frame in frames if os.path.basename(frame[0]) == module]
    if not lines:
        return source
    place = "%s:%s" % (source, lines[-1][1])
    return "%s: %s" % (place, lines[-1][3]) if lines[-1][3] else place


def main():
    start = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    # Modules see an empty standard input.
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    if sys.version_info < (3, 6):
        fail("%s needs Python 3.6, and this is %s" % (start["source"], sys.version.split()[0]))
    import runpy

    from ansible.module_utils import basic

    arguments = {"ANSIBLE_MODULE_ARGS": start["arguments"]}
    basic._ANSIBLE_ARGS = json.dumps(arguments).encode("utf-8")
    entry = start["entry"]
    known = {"_module_fqn": entry, "_modlib_path": sys.path[0]}
    try:
        runpy.run_module(entry, init_globals=known, run_name="__main__", alter_sys=True)
    except ImportError as error:
        name = error.name or ""
        if not name.startswith(("ansible.", "ansible_collections.")):
            raise
        fail(
            "%s can't be imported: provision's ansible.module_utils hasn't got it (%s)\n%s"
            % (name, error, place_of(error, start["source"])),
            missing=name,
        )


main()
