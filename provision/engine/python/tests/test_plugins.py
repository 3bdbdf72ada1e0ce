"""Tests of the process that runs filters, tests and lookups; `cargo test -p provision-engine` runs
them."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

PYTHON = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLUGINS = os.path.join(PYTHON, "plugins")

FILTERS = """
import datetime
from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.text.converters import to_text
from ansible.utils.vars import merge_hash
from jinja2 import pass_environment

@pass_environment
def wants(environment, value):
    return value

def fails(value):
    raise AnsibleFilterError("no %s" % value)

class FilterModule:
    def filters(self):
        return {
            "kinds": lambda value: {"set": {value}, 1: (value, b"b"), "day": datetime.date(2020, 1, 2),
                                    "made": (x for x in [1]), None: None},
            "merged": merge_hash,
            "wants": wants,
            "fails": fails,
            "breaks": lambda value: value["missing"],
        }
"""

LOOKUP = """
DOCUMENTATION = '''
options:
  greeting: {default: hello, type: str, vars: [{name: my_greeting}]}
  count: {type: int, default: "1"}
'''
from ansible.plugins.lookup import LookupBase

class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        return ["%s %s" % (self.get_option("greeting"), t) for t in terms] * self.get_option("count")
"""


class Serve(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.write("f/broken.py", "import nothing_of_this_name\n")
        self.write("f/filters.py", FILTERS)
        self.write("t/tests.py", "class TestModule:\n    def tests(self): return {'odd': lambda v: v % 2}\n")
        self.write("l/greet.py", LOOKUP)
        # As in the archive: our packages are one `ansible`.
        path = os.path.join(self.folder.name, "archive")
        for part in ("ansible", "plugins/ansible"):
            top = os.path.join(PYTHON, part)
            for folder, _, names in os.walk(top):
                for name in (name for name in names if name.endswith(".py")):
                    target = os.path.join(path, "ansible", os.path.relpath(folder, top), name)
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    if not os.path.exists(target):
                        with open(os.path.join(folder, name)) as source, open(target, "w") as out:
                            out.write(source.read())
        for name, source in (("__main__.py", "serve.py"), ("without/jinja2.py", "jinja2.py")):
            with open(os.path.join(PLUGINS, source)) as text:
                self.write("archive/" + name, text.read())
        self.process = subprocess.Popen(
            [sys.executable, "-B", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(self.end)

    def end(self):
        self.process.stdin.close()
        self.assertEqual(self.process.wait(), 0)
        self.process.stdout.close()

    def write(self, name, text):
        path = os.path.join(self.folder.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)

    def ask(self, kind, name, *arguments, variables=None, **named):
        folder = os.path.join(self.folder.name, kind[0])
        request = {"kind": kind, "name": name, "folders": [folder], "arguments": arguments,
                   "named": named, "variables": variables or {}, "basedir": self.folder.name}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def test_values_become_those_of_json(self):
        value = self.ask("filter", "kinds", "a")["value"]
        self.assertEqual(value, {"set": ["a"], "1": ["a", "b"], "day": "2020-01-02", "made": [1],
                                 "None": None})

    def test_named_arguments(self):
        merged = self.ask("filter", "merged", {"a": [1]}, {"a": [2]}, list_merge="append")
        self.assertEqual(merged, {"value": {"a": [1, 2]}})

    def test_errors_have_places(self):
        failed = self.ask("filter", "fails", 5)
        self.assertEqual(failed["error"], "no 5")
        self.assertIn("filters.py:13: raise", failed["place"])
        self.assertEqual(self.ask("filter", "breaks", {})["error"], "KeyError: 'missing'")
        self.assertIn("Jinja's own context", self.ask("filter", "wants", 1)["error"])

    def test_a_file_that_cannot_be_imported_matters_if_no_other_has_the_name(self):
        self.assertIn("nothing_of_this_name", self.ask("filter", "other", 1)["error"])
        self.assertEqual(self.ask("test", "other", 1), {"unknown": True})

    def test_tests_are_true_or_false(self):
        self.assertEqual(self.ask("test", "odd", 3), {"value": True})
        self.assertEqual(self.ask("test", "one.two.odd", 2), {"value": False})

    @unittest.skipUnless(__import__("importlib.util").util.find_spec("yaml"), "there is no PyYAML")
    def test_lookups_have_options(self):
        self.assertEqual(self.ask("lookup", "greet", "a", "b"), {"value": ["hello a", "hello b"]})
        by_variable = self.ask("lookup", "greet", "a", variables={"my_greeting": "hi"}, count="2")
        self.assertEqual(by_variable, {"value": ["hi a", "hi a"]})
        self.assertEqual(self.ask("lookup", "nothing"), {"unknown": True})


if __name__ == "__main__":
    unittest.main()
