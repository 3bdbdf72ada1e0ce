"""Tests of our `ansible.module_utils`; `cargo test -p provision-engine` runs them."""

import contextlib
import io
import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from ansible.module_utils import basic  # noqa: E402
from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib  # noqa: E402
from ansible.module_utils.common import warnings  # noqa: E402
from ansible.module_utils.common.dict_transformations import (  # noqa: E402
    camel_dict_to_snake_dict,
    dict_merge,
    recursive_diff,
)
from ansible.module_utils.common.text.converters import (  # noqa: E402
    container_to_bytes,
    container_to_text,
    jsonify,
    to_bytes,
    to_text,
)
from ansible.module_utils.common.text.formatters import bytes_to_human, human_to_bytes  # noqa: E402
from ansible.module_utils.compat.version import LooseVersion, StrictVersion  # noqa: E402
from ansible.module_utils.facts.utils import get_file_content, get_file_lines, get_mount_size  # noqa: E402
from ansible.module_utils.parsing.convert_bool import boolean  # noqa: E402
from ansible.module_utils.six.moves.urllib.parse import urlparse  # noqa: E402


def run(spec, arguments, body=None, **rules):
    """What a module of this specification prints, and its parameters."""
    warnings._warnings.clear()
    warnings._deprecations.clear()
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    out, params = io.StringIO(), {}
    with contextlib.redirect_stdout(out):
        try:
            module = AnsibleModule(spec, **rules)
            params.update(module.params)
            if body is not None:
                body(module)
            module.exit_json()
        except SystemExit:
            pass
    return json.loads(out.getvalue()), params


def message(spec, arguments, **rules):
    """What is wrong with arguments."""
    result, _ = run(spec, arguments, **rules)
    return result.get("msg") if result.get("failed") else None


class Arguments(unittest.TestCase):
    def test_types_are_converted(self):
        spec = {
            "s": {},
            "i": {"type": "int"},
            "f": {"type": "float"},
            "b": {"type": "bool"},
            "l": {"type": "list", "elements": "int"},
            "d": {"type": "dict"},
            "p": {"type": "path"},
            "r": {"type": "raw"},
            "j": {"type": "jsonarg"},
            "z": {"type": "bytes"},
        }
        given = {
            "s": 5, "i": "7", "f": "1.5", "b": "yes", "l": "1,2", "d": "a=1 b='x y'",
            "p": "~/x", "r": [1], "j": {"k": 1}, "z": "2K",
        }
        _, params = run(spec, given)
        self.assertEqual(params["s"], "5")
        self.assertEqual((params["i"], params["f"], params["b"]), (7, 1.5, True))
        self.assertEqual(params["l"], [1, 2])
        self.assertEqual(params["d"], {"a": "1", "b": "x y"})
        self.assertEqual(params["p"], os.path.expanduser("~/x"))
        self.assertEqual((params["r"], params["j"], params["z"]), ([1], '{"k": 1}', 2048))

    def test_what_is_wrong_is_said_in_ansible_s_words(self):
        state = {"choices": ["present", "absent"], "default": "present"}
        spec = {"name": {"required": True, "aliases": ["n"]}, "state": state, "x": {"type": "int"}}
        self.assertIsNone(message(spec, {"n": "a"}))
        self.assertEqual(message(spec, {}), "missing required arguments: name")
        self.assertEqual(
            message(spec, {"name": "a", "state": "gone"}),
            "value of state must be one of: present, absent, got: gone",
        )
        self.assertEqual(
            message(spec, {"name": "a", "x": "b"}),
            "argument 'x' is of type <class 'str'> and we were unable to convert to int: "
            "<class 'str'> cannot be converted to an int",
        )
        self.assertIn("Supported parameters include: name (n), state, x.", message(spec, {"name": "a", "y": 1}))

    def test_rules_between_parameters(self):
        spec = {"a": {}, "b": {}, "c": {}}
        both = {"a": "1", "b": "2"}
        self.assertEqual(
            message(spec, both, mutually_exclusive=[["a", "b"]]),
            "parameters are mutually exclusive: a|b",
        )
        self.assertEqual(
            message(spec, {"a": "1"}, required_together=[["a", "b"]]),
            "parameters are required together: a, b",
        )
        self.assertEqual(
            message(spec, {}, required_one_of=[["a", "b"]]),
            "one of the following is required: a, b",
        )
        self.assertEqual(
            message(spec, {"a": "1"}, required_if=[["a", "1", ["b", "c"]]]),
            "a is 1 but all of the following are missing: b, c",
        )
        self.assertIsNone(message(spec, both, required_if=[["a", "1", ["b", "c"], True]]))
        self.assertEqual(
            message(spec, {"a": "1"}, required_by={"a": ["c"]}),
            "missing parameter(s) required by 'a': c",
        )

    def test_sub_options(self):
        inner = {"port": {"type": "int", "required": True}, "tls": {"type": "bool", "default": False}}
        spec = {"servers": {"type": "list", "elements": "dict", "options": inner}}
        _, params = run(spec, {"servers": [{"port": "80"}]})
        self.assertEqual(params["servers"], [{"port": 80, "tls": False}])
        self.assertEqual(
            message(spec, {"servers": [{}]}),
            "missing required arguments: port found in servers",
        )

    def test_fallbacks_and_defaults(self):
        spec = {"token": {"fallback": (env_fallback, ["TEST_TOKEN"])}, "n": {"type": "int", "default": 3}}
        os.environ["TEST_TOKEN"] = "t"
        self.addCleanup(os.environ.pop, "TEST_TOKEN")
        _, params = run(spec, {})
        self.assertEqual((params["token"], params["n"]), ("t", 3))

    def test_secrets_are_not_shown(self):
        spec = {"password": {"no_log": True}, "inner": {"type": "dict", "options": {"key": {"no_log": True}}}}
        given = {"password": "hunter2", "inner": {"key": "s3cr3t"}}
        result, _ = run(spec, given, lambda m: m.exit_json(said="it is hunter2!", whole=["s3cr3t"]))
        self.assertEqual(result["said"], "it is ********!")
        self.assertEqual(result["whole"], ["VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"])
        self.assertNotIn("hunter2", json.dumps(result))
        wrong, _ = run(spec, dict(given, nosuch="hunter2"))
        self.assertNotIn("s3cr3t", json.dumps(wrong))

    def test_check_mode(self):
        result, _ = run({}, {"_ansible_check_mode": True, "_ansible_module_name": "mine"})
        self.assertEqual(result["msg"], "remote module (mine) does not support check mode")
        self.assertTrue(result["skipped"])
        body = lambda m: m.exit_json(changed=m.check_mode, diff=m._diff)  # noqa: E731
        result, _ = run({}, {"_ansible_check_mode": True, "_ansible_diff": True}, body, supports_check_mode=True)
        self.assertTrue(result["changed"] and result["diff"])

    def test_warnings_are_in_the_result(self):
        def body(module):
            module.warn("careful")
            module.deprecate("old", version="3.0")
            module.exit_json(warnings=["given"])

        result, _ = run({}, {}, body)
        self.assertEqual(result["warnings"], ["careful", "given"])
        self.assertEqual(result["deprecations"][0]["version"], "3.0")


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.path = os.path.join(self.folder, "f")
        with open(self.path, "w") as file:
            file.write("text\n")
        os.chmod(self.path, 0o644)

    def test_attributes_and_moves(self):
        def body(module):
            args = module.load_file_common_arguments(dict(module.params, path=self.path))
            diff = {}
            changed = module.set_fs_attributes_if_different(args, False, diff)
            source = os.path.join(self.folder, "new")
            with open(source, "w") as file:
                file.write("new\n")
            module.atomic_move(source, self.path)
            again = module.set_fs_attributes_if_different(args, False)
            module.exit_json(changed=changed, again=again, diff=diff, path=self.path)

        result, _ = run({}, {"mode": "u=rw,g=r,o="}, body, add_file_common_args=True)
        self.assertTrue(result["changed"])
        self.assertFalse(result["again"])
        self.assertEqual(result["diff"], {"before": {"mode": "0644"}, "after": {"mode": "0640"}})
        self.assertEqual((result["mode"], result["state"], result["size"]), ("0640", "file", 4))

    def test_symbolic_modes_are_those_of_chmod(self):
        for mode in ["u+x", "a=r", "go-r", "u=rwx,g=u", "+x", "g+s", "a+X", "o=", "ug=rw,o-rwx"]:
            os.chmod(self.path, 0o644)
            bits = AnsibleModule._symbolic_mode_to_octal(os.stat(self.path), mode)
            subprocess.run(["chmod", mode, self.path], check=True)
            self.assertEqual(oct(bits), oct(stat.S_IMODE(os.stat(self.path).st_mode)), mode)

    def test_helpers_of_facts(self):
        self.assertEqual(get_file_content(self.path), "text")
        self.assertEqual(get_file_content(self.path, strip=False), "text\n")
        self.assertEqual(get_file_content("/no/such", default="d"), "d")
        with open(self.path, "w") as file:
            file.write("a:b:")
        self.assertEqual(get_file_lines(self.path, line_sep=":"), ["a", "b"])
        self.assertEqual(get_mount_size("/no/such"), {})
        self.assertGreater(get_mount_size("/")["size_total"], 0)


class Programs(unittest.TestCase):
    def test_programs_run(self):
        def body(module):
            rc, out, err = module.run_command(["sh", "-c", "cat; echo oh >&2; exit 3"], data="in")
            shell = module.run_command("echo $((1+1))", use_unsafe_shell=True)[1]
            module.exit_json(rc=rc, out=out, err=err, shell=shell, sh=module.get_bin_path("sh"))

        result, _ = run({}, {}, body)
        self.assertEqual((result["rc"], result["out"], result["err"]), (3, "in\n", "oh\n"))
        self.assertEqual(result["shell"], "2\n")
        self.assertTrue(result["sh"].endswith("/sh"))

    def test_failures_are_results(self):
        result, _ = run({}, {}, lambda m: m.run_command(["false"], check_rc=True))
        self.assertEqual((result["failed"], result["rc"]), (True, 1))
        result, _ = run({}, {}, lambda m: m.run_command(["/no/such"]))
        self.assertTrue(result["failed"] and "No such file" in result["msg"])
        result, _ = run({}, {}, lambda m: m.get_bin_path("nosuchprogram", required=True))
        self.assertIn('Failed to find required executable "nosuchprogram"', result["msg"])

    def test_a_prompt_ends_a_program(self):
        body = lambda m: m.exit_json(ended=m.run_command(["sh", "-c", "printf Sure?; read x"], prompt_regex="Sure"))  # noqa: E731
        result, _ = run({}, {}, body)
        self.assertEqual(result["ended"][0], 257)


class Values(unittest.TestCase):
    def test_text(self):
        self.assertEqual(to_bytes("ä"), b"\xc3\xa4")
        self.assertEqual(to_text(b"\xff", errors="surrogate_or_strict"), "\udcff")
        self.assertEqual(to_text(5), "5")
        self.assertEqual(json.loads(jsonify({"a": {1}, "b": b"x"})), {"a": [1], "b": "x"})
        self.assertTrue(boolean("On"))
        self.assertRaises(TypeError, boolean, "maybe")
        self.assertEqual(human_to_bytes("1.5M"), 1572864)
        self.assertEqual(human_to_bytes("10MB"), 10 << 20)
        self.assertRaises(ValueError, human_to_bytes, "10 X")
        self.assertEqual(bytes_to_human(2048), "2.00 KB")
        self.assertEqual(urlparse("http://h/x").netloc, "h")

    def test_mappings_and_versions(self):
        self.assertEqual(camel_dict_to_snake_dict({"HTTPEndpoint": {"aB": 1}}), {"http_endpoint": {"a_b": 1}})
        self.assertEqual(dict_merge({"a": {"x": 1}}, {"a": {"y": 2}}), {"a": {"x": 1, "y": 2}})
        self.assertEqual(recursive_diff({"a": 1, "b": 2}, {"a": 1, "b": 3}), ({"b": 2}, {"b": 3}))
        self.assertLess(LooseVersion("1.9.2"), LooseVersion("1.10"))
        self.assertLess(StrictVersion("1.0b1"), StrictVersion("1.0"))
        self.assertIn("(requests)", missing_required_lib("requests"))


class Containers(unittest.TestCase):
    def test_texts_and_bytes_are_converted_at_any_depth(self):
        texts = {"a": ["b", ("c", 1)], "d": None}
        raw = {b"a": [b"b", (b"c", 1)], b"d": None}
        self.assertEqual(container_to_text(raw), texts)
        self.assertEqual(container_to_bytes(texts), raw)
        self.assertEqual(container_to_text(texts), texts)


if __name__ == "__main__":
    unittest.main()
