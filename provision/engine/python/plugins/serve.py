"""Runs filters, tests and lookups in Python for the controller, one request a line.

A request: {"kind": "filter" | "test" | "lookup", "name": ..., "folders": [...], "arguments": [...],
"named": {...}, "variables": {...}, "basedir": ...}. An answer: {"value": ...}, {"error": ...,
"place": ...} or {"unknown": true}. What plugins print goes to the standard error.
"""

import datetime
import glob
import importlib.util
import json
import os
import sys
import traceback
import types

MAKERS = {"filter": ("FilterModule", "filters"), "test": ("TestModule", "tests")}
# Files by path: the module, or why it can't be imported.
MODULES = {}


class Broken(Exception):
    """A file of plugins that can't be used."""


def collection_of(path):
    """The name by which a file of a collection can be imported, and where its root is."""
    parts = os.path.abspath(path).split(os.sep)
    if "ansible_collections" not in parts:
        return None, None
    at = len(parts) - 1 - parts[::-1].index("ansible_collections")
    name = ".".join(parts[at:])[: -len(".py")]
    return name, os.sep.join(parts[:at]) or os.sep


def load(path):
    """The module of a file; read once."""
    if path not in MODULES:
        try:
            MODULES[path] = run(path)
        except Exception as error:
            MODULES[path] = Broken("%s can't be imported: %s" % (path, described(error)))
            MODULES[path].place = place_of(error, path)
    found = MODULES[path]
    if isinstance(found, Broken):
        raise found
    return found


def run(path):
    name, root = collection_of(path)
    if root and root not in sys.path:
        sys.path.append(root)
    stem = os.path.splitext(os.path.basename(path))[0]
    name = name or "own_plugins.%s_%d" % (stem, len(MODULES))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def described(error):
    text = "%s" % error
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


def place_of(error, path=None):
    """The innermost line of a plugin that an exception came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame[0] in MODULES or frame[0] == path]
    if not own:
        return path
    place = "%s:%s" % (own[-1][0], own[-1][1])
    return "%s: %s" % (place, own[-1][3]) if own[-1][3] else place


def files(folders):
    for folder in folders:
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.py"))):
            if os.path.basename(path) != "__init__.py":
                yield path


def named(kind, name, folders):
    """The function of a filter or test. Files that can't be imported matter only if no other has
    it."""
    class_name, method = MAKERS[kind]
    short = name.rsplit(".", 1)[-1]
    broken = None
    for path in files(folders):
        try:
            module = load(path)
        except Broken as error:
            broken = broken or error
            continue
        maker = getattr(module, class_name, None)
        if maker is None:
            continue
        table = getattr(maker(), method)()
        for known in (name, short):
            if known in table:
                return table[known]
    if broken is not None:
        raise broken
    return None


def lookup(name, folders):
    short = name.rsplit(".", 1)[-1]
    for path in files(folders):
        if os.path.splitext(os.path.basename(path))[0] == short:
            module = load(path)
            if hasattr(module, "LookupModule"):
                return module
    return None


def plain(value):
    """A value that JSON has."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        return {key if isinstance(key, str) else plain_key(key): plain(item)
                for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, types.GeneratorType, range, map, filter, zip)):
        return [plain(item) for item in value]
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):
        return {str(key): plain(value[key]) for key in value.keys()}
    if hasattr(value, "__iter__"):
        return [plain(item) for item in value]
    return str(value)


def plain_key(key):
    if key is True or key is False or key is None:
        return str(key)
    return str(plain(key))


def call(request):
    kind, name = request["kind"], request["name"]
    arguments, options = request["arguments"], request["named"]
    if kind == "lookup":
        module = lookup(name, request["folders"])
        if module is None:
            return {"unknown": True}
        from ansible.plugins.lookup import prepare

        plugin = prepare(module, name, request["basedir"])
        found = plugin.run(arguments, variables=request["variables"], **options)
        return {"value": plain(list(found) if found is not None else [])}
    function = named(kind, name, request["folders"])
    if function is None:
        return {"unknown": True}
    for mark in ("jinja_pass_arg", "environmentfilter", "contextfilter", "evalcontextfilter"):
        if getattr(function, mark, None):
            raise TypeError(
                "%s wants Jinja's own context, which only Ansible has: it can't be run here" % name
            )
    value = function(*arguments, **options)
    return {"value": bool(value) if kind == "test" else plain(value)}


def answer(line):
    try:
        return call(json.loads(line))
    except Broken as error:
        return {"error": "%s" % error, "place": getattr(error, "place", None)}
    except Exception as error:
        if type(error).__name__.startswith("Ansible"):
            return {"error": "%s" % error, "place": place_of(error)}
        return {"error": described(error), "place": place_of(error)}


def complete():
    """Where Jinja2 isn't installed, plugins can still import its marks."""
    if importlib.util.find_spec("jinja2") is None:
        sys.path.append(os.path.join(sys.path[0], "without"))


def main():
    complete()
    answers = os.fdopen(os.dup(1), "wb")
    # What plugins print must not look like an answer, and they have nothing to read.
    os.dup2(2, 1)
    empty = os.open(os.devnull, os.O_RDONLY)
    copy = os.fdopen(os.dup(0), "rb")
    os.dup2(empty, 0)
    for line in iter(copy.readline, b""):
        text = json.dumps(answer(line.decode("utf-8")))
        answers.write(text.encode("utf-8") + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
