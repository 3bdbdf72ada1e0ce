"""`AnsibleModule`: what modules are made on.

Our own code after Ansible's documentation ("Developing modules"); modules find here what that
describes.
"""

import hashlib
import json
import os
import platform
import re
import select
import shlex
import stat
import subprocess
import sys
import syslog
import tempfile
import time
import traceback
import types  # noqa: F401

from ansible.module_utils.ansible_release import __version__
from ansible.module_utils.common import parameters as _parameters
from ansible.module_utils.common import warnings as _warnings
from ansible.module_utils.common._collections_compat import (  # noqa: F401
    KeysView,
    Mapping,
    MutableMapping,
    Sequence,
    Set,
)
from ansible.module_utils.common.collections import is_iterable  # noqa: F401
from ansible.module_utils.common.file import (  # noqa: F401
    FILE_ATTRIBUTES,
    S_IRWU_RG_RO,
    S_IRWXU_RXG_RXO,
    is_executable,
)
from ansible.module_utils.common.parameters import (  # noqa: F401
    HIDDEN,
    PASS_VARS,
    ArgumentProblem,
    env_fallback,
    remove_values,
    sanitize_keys,
)
from ansible.module_utils.common.process import get_bin_path
from ansible.module_utils.common.sys_info import (  # noqa: F401
    get_distribution,
    get_distribution_version,
    get_platform_subclass,
)
from ansible.module_utils.common.text.converters import (  # noqa: F401
    container_to_bytes as json_dict_unicode_to_bytes,
    container_to_text as json_dict_bytes_to_unicode,
    jsonify,
    to_bytes,
    to_native,
    to_text,
)
from ansible.module_utils.common.text.formatters import (  # noqa: F401
    SIZE_RANGES,
    bytes_to_human,
    human_to_bytes,
    lenient_lowercase,
)
from ansible.module_utils.common.validation import (  # noqa: F401
    check_type_bits,
    check_type_bool,
    check_type_bytes,
    check_type_dict,
    check_type_float,
    check_type_int,
    check_type_jsonarg,
    check_type_list,
    check_type_path,
    check_type_raw,
    check_type_str,
    safe_eval,
)
from ansible.module_utils.parsing.convert_bool import (  # noqa: F401
    BOOLEANS,
    BOOLEANS_FALSE,
    BOOLEANS_TRUE,
    boolean,
)
from ansible.module_utils.six import (  # noqa: F401
    PY2,
    PY3,
    b,
    binary_type,
    integer_types,
    iteritems,
    string_types,
    text_type,
)

imap = map
basestring = string_types
unicode = text_type
ANSIBLE_VERSION = __version__
PASSWORD_MATCH = re.compile(r"^(?:.+[-_\s])?pass(?:[-_\s]?(?:word|phrase|wrd|wd)?)(?:[-_\s].+)?$", re.I)
DEFAULT_PERM = 0o0666
PERM_BITS = 0o7777
EXEC_PERM_BITS = 0o0111
FILE_COMMON_ARGUMENTS = {
    "mode": {"type": "raw"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "seuser": {"type": "str"},
    "serole": {"type": "str"},
    "selevel": {"type": "str"},
    "setype": {"type": "str"},
    "attributes": {"type": "str", "aliases": ["attr"]},
    "unsafe_writes": {
        "type": "bool",
        "default": False,
        "fallback": (env_fallback, ["ANSIBLE_UNSAFE_WRITES"]),
    },
}

# The start program puts the arguments here, as JSON.
_ANSIBLE_ARGS = None


def get_platform():
    """The system's name, as `Linux`."""
    return platform.system()


def load_platform_subclass(cls, *args, **kwargs):
    """An instance of the subclass for this system."""
    return super(cls, get_platform_subclass(cls)).__new__(get_platform_subclass(cls))


def get_all_subclasses(cls):
    from ansible.module_utils.common.sys_info import get_all_subclasses as found

    return list(found(cls))


def missing_required_lib(library, reason=None, url=None):
    """What to say when a library can't be imported."""
    message = "Failed to import the required Python library (%s) on %s's Python %s." % (
        library,
        platform.node(),
        sys.executable,
    )
    if reason:
        message += " This is required %s." % reason
    if url:
        message += " See %s for more info." % url
    return (
        message + " Please read the module documentation and install it in the appropriate location."
        " If the required library is installed, but Ansible is using the wrong Python interpreter,"
        " please consult the documentation on ansible_python_interpreter"
    )


def heuristic_log_sanitize(data, no_log_values=None):
    """A text for the log, without passwords in URLs and without secrets."""
    text = re.sub(r"(://[^:/@\s]+:)[^@/\s]+@", r"\1********@", to_native(data))
    return remove_values(text, no_log_values) if no_log_values else text


def _load_params():
    """The arguments that the controller sent; those of a file or of the standard input if the
    module is run by hand."""
    global _ANSIBLE_ARGS
    if _ANSIBLE_ARGS is None:
        if len(sys.argv) > 1:
            if os.path.isfile(sys.argv[1]):
                with open(sys.argv[1], "rb") as file:
                    _ANSIBLE_ARGS = file.read()
            else:
                _ANSIBLE_ARGS = to_bytes(sys.argv[1])
        else:
            _ANSIBLE_ARGS = sys.stdin.buffer.read()
    try:
        params = json.loads(to_text(_ANSIBLE_ARGS))
        return params["ANSIBLE_MODULE_ARGS"]
    except (ValueError, KeyError, TypeError):
        print(json.dumps({"msg": "Error: Module unable to decode valid JSON on stdin.", "failed": True}))
        sys.exit(1)


class _State:
    """What the checks of arguments share."""

    def __init__(self, name, bypasses, ignores_unknown):
        self.name = name
        self.bypasses = bypasses
        self.ignores_unknown = ignores_unknown
        self.secrets = set()


class AnsibleModule:
    """A module: its checked parameters, and the ways to end."""

    def __init__(
        self,
        argument_spec,
        bypass_checks=False,
        no_log=False,
        mutually_exclusive=None,
        required_together=None,
        required_one_of=None,
        add_file_common_args=False,
        supports_check_mode=False,
        required_if=None,
        required_by=None,
    ):
        self._name = os.path.basename(__file__)
        self.argument_spec = dict(argument_spec)
        self.supports_check_mode = supports_check_mode
        self.bypass_checks = bypass_checks
        self.no_log = no_log
        self.mutually_exclusive = mutually_exclusive
        self.required_together = required_together
        self.required_one_of = required_one_of
        self.required_if = required_if
        self.required_by = required_by
        self.cleanup_files = []
        self.aliases = {}
        self.no_log_values = set()
        self.run_command_environ_update = {}
        self._options_context = []
        self._created_files = set()
        if add_file_common_args:
            for name, rule in FILE_COMMON_ARGUMENTS.items():
                self.argument_spec.setdefault(name, rule)
        self.params = dict(_load_params())
        self._take_internal()
        state = _State(self._name, bypass_checks, self._ignore_unknown_opts)
        # Secrets of arguments that are wrong must not be shown either.
        self.no_log_values = _parameters.list_no_log_values(self.argument_spec, self.params)
        state.secrets = self.no_log_values
        self._given = dict(self.params)
        try:
            _parameters.check(
                self.argument_spec,
                self.params,
                state,
                mutually_exclusive=mutually_exclusive,
                required_together=required_together,
                required_one_of=required_one_of,
                required_if=required_if,
                required_by=required_by,
            )
        except ArgumentProblem as problem:
            self.fail_json(msg=to_native(problem))
        if self.check_mode and not supports_check_mode:
            self.exit_json(
                skipped=True, msg="remote module (%s) does not support check mode" % self._name
            )
        self._log_invocation()
        self._use_existing_folder()

    def _take_internal(self):
        """What Ansible says besides the arguments."""
        for name, (attribute, default) in PASS_VARS.items():
            given = self.params.pop("_ansible_%s" % name, None)
            value = default if given is None else given
            if attribute == "no_log":
                value = bool(value) or self.no_log
            setattr(self, attribute, value)
        for name in [name for name in self.params if name.startswith("_ansible_")]:
            del self.params[name]
        self._name = self._name or "module"

    @staticmethod
    def _use_existing_folder():
        try:
            os.getcwd()
        except OSError:
            for folder in (os.path.expanduser("~"), tempfile.gettempdir(), "/"):
                try:
                    os.chdir(folder)
                    return
                except OSError:
                    continue

    # What modules are told.

    @property
    def tmpdir(self):
        """A folder for temporary files, which goes away with the call."""
        if self._tmpdir is None:
            self._tmpdir = tempfile.mkdtemp(prefix="ansible-moduletmp-")
            self.add_cleanup_file(self._tmpdir)
        return self._tmpdir

    # What modules say.

    def warn(self, warning):
        """Adds a warning to the result."""
        _warnings.warn(warning)
        self.log("[WARNING] %s" % warning)

    def deprecate(self, msg, version=None, date=None, collection_name=None):
        """Adds a deprecation to the result."""
        if version is not None and date is not None:
            raise AssertionError("implementation error -- version and date must not both be set")
        _warnings.deprecate(msg, version=version, date=date, collection_name=collection_name)
        self.log("[DEPRECATION WARNING] %s %s" % (msg, date or version))

    def debug(self, msg):
        """A line for the log, with `debug` only."""
        if getattr(self, "_debug", False):
            self.log("[debug] %s" % msg)

    def log(self, msg, log_args=None):
        """A line for the log of the system, without secrets."""
        if self.no_log:
            return
        facility = getattr(syslog, self._syslog_facility, syslog.LOG_USER)
        text = remove_values(to_native(msg), self.no_log_values)
        try:
            syslog.openlog("ansible-%s" % self._name, 0, facility)
            syslog.syslog(syslog.LOG_INFO, text)
        except (TypeError, ValueError, OSError):
            # A log that can't be written is no reason to fail.
            pass

    def _log_invocation(self):
        shown = {
            name: self._shown(name, value)
            for name, value in self.params.items()
        }
        self.log("Invoked with %s" % " ".join("%s=%s" % entry for entry in shown.items()))

    def _shown(self, name, value):
        rule = self.argument_spec.get(name, {})
        if rule.get("no_log"):
            return "NOT_LOGGING_PARAMETER"
        if rule.get("no_log") is None and PASSWORD_MATCH.search(name) and rule.get("type") != "bool":
            return "NOT_LOGGING_PASSWORD"
        return heuristic_log_sanitize(value, self.no_log_values)

    def _end(self, result, code):
        for name, said in (
            ("warnings", _warnings.get_warning_messages()),
            ("deprecations", _warnings.get_deprecation_messages()),
        ):
            given = result.pop(name, None) or []
            given = [given] if isinstance(given, (str, Mapping)) else list(given)
            if name == "deprecations":
                given = [
                    it
                    if isinstance(it, Mapping)
                    else {"msg": it if isinstance(it, str) else it[0]}
                    for it in given
                ]
            both = list(said) + [it for it in given if it not in said]
            if both:
                result[name] = both
        result.setdefault("invocation", {"module_args": self.params})
        self.add_path_info(result)
        shown = remove_values(result, self.no_log_values)
        self.do_cleanup_files()
        print("\n" + self.jsonify(shown))
        sys.stdout.flush()
        sys.exit(code)

    def exit_json(self, **kwargs):
        """Ends: it went well."""
        kwargs.setdefault("changed", False)
        self._end(kwargs, 0)

    def fail_json(self, msg, **kwargs):
        """Ends: it failed."""
        kwargs["failed"] = True
        kwargs["msg"] = msg
        if "exception" not in kwargs and sys.exc_info()[2] is not None:
            kwargs["exception"] = "".join(traceback.format_exc())
        self._end(kwargs, 1)

    def fail_on_missing_params(self, required_params=None):
        """Fails if one of these parameters isn't given."""
        missing = [name for name in required_params or [] if not self.params.get(name)]
        if missing:
            self.fail_json(msg="missing required arguments: %s" % ", ".join(missing))

    def jsonify(self, data):
        try:
            return jsonify(data)
        except (TypeError, UnicodeError) as error:
            print(json.dumps({"failed": True, "msg": to_text(error)}))
            sys.exit(1)

    def from_json(self, data):
        return json.loads(data)

    def boolean(self, arg):
        """The boolean that a value means."""
        if arg is None:
            return arg
        try:
            return boolean(arg)
        except TypeError as error:
            self.fail_json(msg=to_native(error))

    def add_cleanup_file(self, path):
        if path not in self.cleanup_files:
            self.cleanup_files.append(path)

    def do_cleanup_files(self):
        for path in self.cleanup_files:
            self.cleanup(path)

    def cleanup(self, tmpfile):
        """Removes a file or folder, if it is there."""
        try:
            if os.path.isdir(tmpfile) and not os.path.islink(tmpfile):
                import shutil

                shutil.rmtree(tmpfile)
            elif os.path.lexists(tmpfile):
                os.unlink(tmpfile)
        except OSError as error:
            sys.stderr.write("could not cleanup %s: %s" % (tmpfile, to_native(error)))

    # Programs.

    def get_bin_path(self, arg, required=False, opt_dirs=None):
        """The path of a program; `None`, or a failure if it is required."""
        try:
            return get_bin_path(arg=arg, opt_dirs=opt_dirs)
        except ValueError as error:
            if required:
                self.fail_json(msg=to_text(error))
            return None

    def run_command(
        self,
        args,
        check_rc=False,
        close_fds=True,
        executable=None,
        data=None,
        binary_data=False,
        path_prefix=None,
        cwd=None,
        use_unsafe_shell=False,
        prompt_regex=None,
        environ_update=None,
        umask=None,
        encoding="utf-8",
        errors="surrogate_or_strict",
        expand_user_and_vars=True,
        pass_fds=None,
        before_communicate_callback=None,
        ignore_invalid_cwd=True,
        handle_exceptions=True,
    ):
        """Runs a program; answers its exit code, its standard output and its standard error."""
        if not isinstance(args, (list, tuple, str, bytes)):
            msg = "Argument 'args' to run_command must be list or string"
            self.fail_json(rc=257, cmd=args, msg=msg)
        shell = False
        if use_unsafe_shell:
            shell = True
            if isinstance(args, (list, tuple)):
                args = " ".join(shlex.quote(to_text(word)) for word in args)
            if executable is None:
                executable = self._shell
        else:
            if isinstance(args, (str, bytes)):
                args = shlex.split(to_text(args))
            args = [to_native(word) for word in args if word is not None]
            if expand_user_and_vars:
                args = [os.path.expanduser(os.path.expandvars(word)) for word in args]
        prompt = None
        if prompt_regex:
            try:
                prompt = re.compile(to_bytes(prompt_regex), re.M)
            except re.error:
                self.fail_json(msg="invalid prompt regular expression given to run_command")
        environment = os.environ.copy()
        environment.update(self.run_command_environ_update)
        environment.update(environ_update or {})
        if path_prefix:
            environment["PATH"] = "%s:%s" % (path_prefix, environment.get("PATH", ""))
        # Of the archive that this module came in.
        environment.pop("PYTHONPATH", None)
        if cwd:
            cwd = os.path.abspath(os.path.expanduser(to_text(cwd)))
            if not os.path.isdir(cwd):
                if not ignore_invalid_cwd:
                    self.fail_json(msg="Provided cwd is not a valid directory: %s" % cwd)
                cwd = None
        shown = args if isinstance(args, str) else " ".join(shlex.quote(word) for word in args)
        shown = heuristic_log_sanitize(shown, self.no_log_values)
        stdin = subprocess.PIPE if data is not None else subprocess.DEVNULL
        if prompt is not None and data is None:
            stdin = subprocess.PIPE
        self.log("Executing <%s>" % shown)
        previous = os.umask(umask) if umask is not None else None
        try:
            running = subprocess.Popen(
                args,
                shell=shell,
                executable=executable,
                close_fds=close_fds,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=environment,
                restore_signals=True,
                pass_fds=pass_fds or (),
            )
            if before_communicate_callback:
                before_communicate_callback(running)
            if data is not None and not binary_data:
                data = to_bytes(data) + b"\n"
            rc, out, err = self._talk(running, data, prompt)
        except OSError as error:
            if not handle_exceptions:
                raise
            self.fail_json(
                rc=error.errno or 257, stdout="", stderr="", msg=to_native(error), cmd=shown
            )
        except Exception as error:
            if not handle_exceptions:
                raise
            self.fail_json(
                rc=257,
                stdout="",
                stderr="",
                msg=to_native(error),
                exception=traceback.format_exc(),
                cmd=shown,
            )
        finally:
            if previous is not None:
                os.umask(previous)
        if rc != 0 and check_rc:
            message = heuristic_log_sanitize(to_native(err).rstrip(), self.no_log_values)
            self.fail_json(cmd=shown, rc=rc, stdout=to_native(out), stderr=to_native(err), msg=message)
        if encoding is not None:
            return (
                rc,
                to_native(out, encoding=encoding, errors=errors),
                to_native(err, encoding=encoding, errors=errors),
            )
        return (rc, out, err)

    @staticmethod
    def _talk(running, data, prompt):
        """Feeds and reads a program until it ends, or asks what nobody answers."""
        if prompt is None:
            out, err = running.communicate(data)
            return running.returncode, out, err
        out, err = b"", b""
        if data is not None:
            running.stdin.write(data)
            running.stdin.flush()
        open_pipes = [running.stdout, running.stderr]
        while open_pipes:
            ready, _, _ = select.select(open_pipes, [], [], 1)
            for pipe in ready:
                piece = os.read(pipe.fileno(), 9000)
                if not piece:
                    open_pipes.remove(pipe)
                elif pipe is running.stdout:
                    out += piece
                else:
                    err += piece
            if prompt.search(out) and data is None:
                running.kill()
                running.communicate()
                message = "A prompt was encountered while running a command, but no input data was specified"
                return 257, out, to_bytes(message)
            if not ready and running.poll() is not None:
                break
        running.wait()
        for pipe in (running.stdin, running.stdout, running.stderr):
            if pipe is not None:
                pipe.close()
        return running.returncode, out, err

    # Files.

    def digest_from_file(self, filename, algorithm):
        """The digest of a file in hexadecimal digits; `None` if it isn't there."""
        if not os.path.exists(filename):
            return None
        if os.path.isdir(filename):
            self.fail_json(msg="attempted to take checksum of directory: %s" % filename)
        if hasattr(algorithm, "hexdigest"):
            digest = algorithm
        else:
            try:
                digest = hashlib.new(algorithm)
            except ValueError:
                self.fail_json(
                    msg="Could not hash file '%s' with algorithm '%s'." % (filename, algorithm)
                )
        with open(filename, "rb") as file:
            for block in iter(lambda: file.read(64 * 1024), b""):
                digest.update(block)
        return digest.hexdigest()

    def md5(self, filename):
        return self.digest_from_file(filename, "md5")

    def sha1(self, filename):
        return self.digest_from_file(filename, "sha1")

    def sha256(self, filename):
        return self.digest_from_file(filename, "sha256")

    def backup_local(self, fn):
        """Copies a file beside itself; answers the copy's path."""
        if not os.path.exists(fn):
            return ""
        copy = "%s.%s.%s~" % (fn, os.getpid(), time.strftime("%Y-%m-%d@%H:%M:%S"))
        try:
            self.preserved_copy(fn, copy)
        except (OSError, ValueError) as error:
            self.fail_json(msg="Could not make backup of %s to %s: %s" % (fn, copy, to_native(error)))
        return copy

    def preserved_copy(self, src, dest):
        """A copy with mode, times and owner."""
        import shutil

        shutil.copy2(src, dest)
        data = os.stat(src)
        try:
            os.chown(dest, data.st_uid, data.st_gid)
        except PermissionError:
            pass

    def atomic_move(self, src, dest, unsafe_writes=False, keep_dest_attrs=True):
        """Puts a file into the place of another: readers see the old one or the new one."""
        import shutil

        exists = os.path.exists(dest)
        if exists and keep_dest_attrs:
            data = os.stat(dest)
            os.chmod(src, data.st_mode & PERM_BITS)
            try:
                os.chown(src, data.st_uid, data.st_gid)
            except PermissionError:
                pass
        elif not exists and keep_dest_attrs:
            # A new file has the mode that `open` would have given it.
            umask = os.umask(0)
            os.umask(umask)
            if stat.S_IMODE(os.stat(src).st_mode) == 0o600:
                os.chmod(src, DEFAULT_PERM & ~umask)
        folder = os.path.dirname(os.path.abspath(dest))
        beside = None
        try:
            try:
                os.rename(src, dest)
                return
            except OSError:
                handle, beside = tempfile.mkstemp(prefix=".ansible_tmp", dir=folder)
                os.close(handle)
                shutil.copy2(src, beside)
                data = os.stat(src)
                try:
                    os.chown(beside, data.st_uid, data.st_gid)
                except PermissionError:
                    pass
                os.rename(beside, dest)
                beside = None
                os.unlink(src)
        except OSError as error:
            if unsafe_writes and exists:
                with open(src, "rb") as source, open(dest, "wb") as target:
                    shutil.copyfileobj(source, target)
                return
            self.fail_json(
                msg="Could not replace file: %s to %s: %s" % (src, dest, to_native(error)),
                exception=traceback.format_exc(),
            )
        finally:
            if beside is not None:
                self.cleanup(beside)

    def load_file_common_arguments(self, params, path=None):
        """The parameters that say how a file is to be."""
        if path is None:
            path = params.get("path", params.get("dest"))
        if path is None:
            return {}
        path = os.path.expanduser(os.path.expandvars(to_native(path)))
        if params.get("follow", False) and os.path.islink(path):
            path = os.path.realpath(path)
        context = [params.get(name) for name in ("seuser", "serole", "setype", "selevel")]
        return dict(
            path=path,
            mode=params.get("mode"),
            owner=params.get("owner"),
            group=params.get("group"),
            seuser=context[0],
            serole=context[1],
            setype=context[2],
            selevel=context[3],
            secontext=context,
            attributes=params.get("attributes"),
        )

    def set_fs_attributes_if_different(self, file_args, changed, diff=None, expand=True):
        """Owner, group, mode, context and attributes as asked for; whether something changed."""
        path = file_args["path"]
        changed = self.set_context_if_different(path, file_args["secontext"], changed, diff)
        changed = self.set_owner_if_different(path, file_args["owner"], changed, diff, expand)
        changed = self.set_group_if_different(path, file_args["group"], changed, diff, expand)
        changed = self.set_mode_if_different(path, file_args["mode"], changed, diff, expand)
        return self.set_attributes_if_different(
            path, file_args["attributes"], changed, diff, expand
        )

    def set_directory_attributes_if_different(self, file_args, changed, diff=None, expand=True):
        return self.set_fs_attributes_if_different(file_args, changed, diff, expand)

    def set_file_attributes_if_different(self, file_args, changed, diff=None, expand=True):
        return self.set_fs_attributes_if_different(file_args, changed, diff, expand)

    @staticmethod
    def _note(diff, name, before, after):
        if diff is not None:
            diff.setdefault("before", {})[name] = before
            diff.setdefault("after", {})[name] = after

    @staticmethod
    def _expanded(path, expand):
        return os.path.expanduser(os.path.expandvars(path)) if expand else path

    def user_and_group(self, path, expand=True):
        data = os.lstat(self._expanded(path, expand))
        return (data.st_uid, data.st_gid)

    def _set_id(self, path, wanted, changed, diff, expand, kind):
        if wanted is None:
            return changed
        path = self._expanded(path, expand)
        if self.check_file_absent_if_check_mode(path):
            return True
        index = 0 if kind == "owner" else 1
        current = self.user_and_group(path, False)[index]
        try:
            number = int(wanted)
        except ValueError:
            import grp
            import pwd

            try:
                number = pwd.getpwnam(wanted).pw_uid if index == 0 else grp.getgrnam(wanted).gr_gid
            except KeyError:
                noun = "user" if index == 0 else "group"
                failed = "chown" if index == 0 else "chgrp"
                msg = "%s failed: failed to look up %s %s" % (failed, noun, wanted)
                self.fail_json(path=path, msg=msg)
        if current == number:
            return changed
        self._note(diff, kind, current, number)
        if not self.check_mode:
            try:
                os.lchown(path, *((number, -1) if index == 0 else (-1, number)))
            except OSError as error:
                failed = "chown" if index == 0 else "chgrp"
                self.fail_json(path=path, msg="%s failed: %s" % (failed, to_text(error)))
        return True

    def set_owner_if_different(self, path, owner, changed, diff=None, expand=True):
        return self._set_id(path, owner, changed, diff, expand, "owner")

    def set_group_if_different(self, path, group, changed, diff=None, expand=True):
        return self._set_id(path, group, changed, diff, expand, "group")

    def set_mode_if_different(self, path, mode, changed, diff=None, expand=True):
        if mode is None:
            return changed
        path = self._expanded(path, expand)
        if self.check_file_absent_if_check_mode(path):
            return True
        data = os.lstat(path)
        if not isinstance(mode, int):
            try:
                mode = int(mode, 8)
            except ValueError:
                try:
                    mode = self._symbolic_mode_to_octal(data, mode)
                except ValueError as error:
                    self.fail_json(path=path, msg=to_native(error), details="mode must be octal or symbolic")
        if mode != stat.S_IMODE(mode):
            self.fail_json(path=path, msg="Invalid mode supplied, only permission info is allowed", details=mode)
        before = stat.S_IMODE(data.st_mode)
        if before == mode or stat.S_ISLNK(data.st_mode):
            return changed
        self._note(diff, "mode", "0%03o" % before, "0%03o" % mode)
        if not self.check_mode:
            try:
                os.chmod(path, mode)
            except OSError as error:
                self.fail_json(path=path, msg="chmod failed", details=to_native(error))
        return True

    @classmethod
    def _symbolic_mode_to_octal(cls, path_stat, symbolic_mode):
        """`u=rw,g-x` as bits, from those a file has."""
        mode = stat.S_IMODE(path_stat.st_mode)
        umask = os.umask(0)
        os.umask(umask)
        is_folder = stat.S_ISDIR(path_stat.st_mode)
        shift = {"u": 6, "g": 3, "o": 0}
        for clause in symbolic_mode.split(","):
            match = re.match(r"^([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)$", clause)
            if match is None:
                raise ValueError("bad symbolic permission for mode: %s" % clause)
            who = match.group(1) or "a"
            users = "ugo" if "a" in who else who
            for operation, letters in re.findall(r"([-+=])([ugo]|[rwxXst]*)", match.group(2)):
                start = mode
                for user in users:
                    bits = 0
                    for letter in letters:
                        if letter in "ugo":
                            bits |= (start >> shift[letter]) & 7
                        elif letter in "rwx":
                            bits |= {"r": 4, "w": 2, "x": 1}[letter]
                        elif letter == "X" and (is_folder or start & EXEC_PERM_BITS):
                            bits |= 1
                    bits <<= shift[user]
                    if "s" in letters:
                        bits |= {"u": stat.S_ISUID, "g": stat.S_ISGID}.get(user, 0)
                    if "t" in letters:
                        bits |= stat.S_ISVTX
                    if not match.group(1):
                        bits &= ~umask
                    if operation == "+":
                        mode |= bits
                    elif operation == "-":
                        mode &= ~bits
                    else:
                        special = {"u": stat.S_ISUID, "g": stat.S_ISGID}.get(user, 0)
                        mode &= ~((7 << shift[user]) | special)
                        mode |= bits
        return mode

    def check_file_absent_if_check_mode(self, file_path):
        return self.check_mode and not os.path.exists(file_path)

    def selinux_enabled(self):
        return os.path.exists("/sys/fs/selinux/enforce")

    def selinux_mls_enabled(self):
        return self.selinux_enabled() and os.path.exists("/sys/fs/selinux/mls")

    def selinux_initial_context(self):
        return [None, None, None] + ([None] if self.selinux_mls_enabled() else [])

    def selinux_context(self, path):
        try:
            value = to_native(os.getxattr(path, "security.selinux", follow_symlinks=False))
        except OSError:
            return self.selinux_initial_context()
        return value.rstrip("\0").split(":", 3)

    def set_context_if_different(self, path, context, changed, diff=None):
        if not self.selinux_enabled() or not any(context or []):
            return changed
        current = self.selinux_context(path)
        wanted = [new if new is not None else old for new, old in zip(context, current)]
        if wanted == current[: len(wanted)]:
            return changed
        self._note(diff, "secontext", current, wanted)
        if not self.check_mode:
            try:
                os.setxattr(path, "security.selinux", to_bytes(":".join(wanted)), follow_symlinks=False)
            except OSError as error:
                self.fail_json(
                    path=path, msg="invalid selinux context: %s" % to_native(error), new_context=wanted
                )
        return True

    def get_file_attributes(self, path, include_version=True):
        """What `lsattr` says of a file; nothing where there is no such program."""
        lsattr = self.get_bin_path("lsattr")
        if not lsattr:
            return {}
        rc, out, _ = self.run_command([lsattr, "-vd" if include_version else "-d", path])
        words = out.split() if rc == 0 else []
        if not words:
            return {}
        result = {}
        if include_version:
            result["version"] = words.pop(0).strip()
        flags = words[0].replace("-", "").strip()
        result["attr_flags"] = flags
        result["attributes"] = [FILE_ATTRIBUTES[it] for it in flags if it in FILE_ATTRIBUTES]
        return result

    def set_attributes_if_different(self, path, attributes, changed, diff=None, expand=True):
        if attributes is None:
            return changed
        path = self._expanded(path, expand)
        if self.check_file_absent_if_check_mode(path):
            return True
        current = self.get_file_attributes(path, include_version=False).get("attr_flags", "")
        operator = "="
        if attributes.startswith(("-", "+")):
            operator, attributes = attributes[0], attributes[1:]
        same = {
            "=": sorted(current) == sorted(attributes),
            "-": not set(current) & set(attributes),
            "+": set(attributes) <= set(current),
        }[operator]
        if same:
            return changed
        chattr = self.get_bin_path("chattr")
        if not chattr:
            return changed
        self._note(diff, "attributes", current, "%s%s" % (operator, attributes))
        if not self.check_mode:
            rc, out, err = self.run_command([chattr, "%s%s" % (operator, attributes), path])
            if rc != 0 or err:
                self.fail_json(path=path, msg="chattr failed", details=(out + err).strip())
        return True

    def is_special_selinux_path(self, path):
        return (False, None)

    def find_mount_point(self, path):
        """The folder that the file system of a path is mounted on."""
        path = os.path.realpath(os.path.expanduser(os.path.expandvars(to_native(path))))
        while not os.path.ismount(path):
            path = os.path.dirname(path)
        return path

    def add_path_info(self, kwargs):
        """Says of a path in a result what it is."""
        path = kwargs.get("path", kwargs.get("dest"))
        if not isinstance(path, (str, bytes)) or not path or not os.path.lexists(path):
            return kwargs
        import grp
        import pwd

        data = os.lstat(path)
        kwargs["uid"], kwargs["gid"] = data.st_uid, data.st_gid
        try:
            kwargs["owner"] = pwd.getpwuid(data.st_uid).pw_name
        except KeyError:
            kwargs["owner"] = str(data.st_uid)
        try:
            kwargs["group"] = grp.getgrgid(data.st_gid).gr_name
        except KeyError:
            kwargs["group"] = str(data.st_gid)
        kwargs["mode"] = "0%03o" % stat.S_IMODE(data.st_mode)
        if stat.S_ISLNK(data.st_mode):
            kwargs["state"] = "link"
        elif stat.S_ISDIR(data.st_mode):
            kwargs["state"] = "directory"
        elif data.st_nlink > 1:
            kwargs["state"] = "hard"
        else:
            kwargs["state"] = "file"
        kwargs["size"] = data.st_size
        return kwargs

    @staticmethod
    def get_buffer_size(fd):
        return 9000

    def safe_eval(self, value, locals=None, include_exceptions=False):
        return safe_eval(value, locals, include_exceptions)


def get_module_path():
    return os.path.dirname(os.path.realpath(__file__))
