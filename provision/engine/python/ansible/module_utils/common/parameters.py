"""Arguments against a specification."""

import os
from collections.abc import Mapping, Sequence, Set

from ansible.module_utils.common import validation
from ansible.module_utils.common.text.converters import to_native, to_text
from ansible.module_utils.common.warnings import deprecate, warn

PASS_VARS = {
    "check_mode": ("check_mode", False),
    "debug": ("_debug", False),
    "diff": ("_diff", False),
    "keep_remote_files": ("_keep_remote_files", False),
    "ignore_unknown_opts": ("_ignore_unknown_opts", False),
    "module_name": ("_name", None),
    "no_log": ("no_log", False),
    "remote_tmp": ("_remote_tmp", None),
    "target_log_info": ("_target_log_info", None),
    "selinux_special_fs": ("_selinux_special_fs", ["fuse", "nfs", "vboxsf", "ramfs", "9p", "vfat"]),
    "shell_executable": ("_shell", "/bin/sh"),
    "socket": ("_socket_path", None),
    "string_conversion_action": ("_string_conversion_action", "warn"),
    "syslog_facility": ("_syslog_facility", "INFO"),
    "tmpdir": ("_tmpdir", None),
    "verbosity": ("_verbosity", 0),
    "version": ("ansible_version", "0.0"),
}
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
_MASK = "********"


class AnsibleFallbackNotFound(Exception):
    """A fallback has no value either."""


class ArgumentProblem(Exception):
    """What is wrong with the arguments."""


def env_fallback(*args, **kwargs):
    """The first of these variables of the environment that is set."""
    for name in args:
        if name in os.environ:
            return os.environ[name]
    raise AnsibleFallbackNotFound


def set_fallbacks(argument_spec, parameters):
    """Fills in what fallbacks know; answers those that are secret."""
    secrets = set()
    for name, rule in argument_spec.items():
        strategy, rest = (rule.get("fallback") or (None,))[0], list(rule.get("fallback") or ())[1:]
        if name in parameters or strategy is None:
            continue
        words, named = [], {}
        for item in rest:
            if isinstance(item, dict):
                named = item
            elif isinstance(item, (list, tuple)):
                words.extend(item)
            else:
                words.append(item)
        try:
            parameters[name] = strategy(*words, **named)
        except AnsibleFallbackNotFound:
            continue
        if rule.get("no_log") and parameters[name]:
            secrets.add(to_text(parameters[name]))
    return secrets


def _secrets_of(value):
    """All texts and numbers in a value."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, (str, bytes, int, float)):
        text = to_text(value, errors="surrogate_or_strict")
        if text:
            yield text
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _secrets_of(entry)
    elif isinstance(value, (Sequence, Set)):
        for item in value:
            yield from _secrets_of(item)


def _container(value):
    """A value of sub-options as a list of mappings, where it is one."""
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, Mapping)]
    return []


def list_no_log_values(argument_spec, parameters):
    """Values that are secret, by the specification."""
    secrets = set()
    for name, rule in argument_spec.items():
        names = [name] + list(rule.get("aliases") or [])
        for given in (parameters[it] for it in names if it in parameters):
            if rule.get("no_log"):
                secrets.update(_secrets_of(given))
            inner = rule.get("options")
            if inner is None:
                continue
            if isinstance(given, str):
                try:
                    given = validation.check_type_dict(given)
                except TypeError:
                    continue
            for mapping in _container(given):
                secrets.update(list_no_log_values(inner, mapping))
    return secrets


def list_deprecations(argument_spec, parameters, prefix=""):
    """Parameters given that are to go."""
    found = []
    for name, rule in argument_spec.items():
        if name not in parameters or parameters[name] is None:
            continue
        shown = "%s[\"%s\"]" % (prefix, name) if prefix else name
        version, date = rule.get("removed_in_version"), rule.get("removed_at_date")
        if version is not None or date is not None:
            found.append(
                {
                    "msg": "Param '%s' is deprecated. See the module docs for more information"
                    % shown,
                    "version": version,
                    "date": date,
                    "collection_name": rule.get("removed_from_collection"),
                }
            )
        for mapping in _container(parameters[name]) if rule.get("options") else []:
            found.extend(list_deprecations(rule["options"], mapping, shown))
    return found


def handle_aliases(argument_spec, parameters):
    """Other names become the real ones; answers which names those are."""
    real = {}
    for name, rule in argument_spec.items():
        aliases = rule.get("aliases")
        if aliases is None:
            continue
        if isinstance(aliases, (str, bytes)) or not isinstance(aliases, Sequence):
            raise TypeError("internal error: aliases must be a list or tuple")
        old = {entry["name"]: entry for entry in rule.get("deprecated_aliases") or []}
        used = [alias for alias in aliases if alias in parameters]
        for alias in aliases:
            real[alias] = name
        for alias in used:
            if alias in old:
                deprecate(
                    "Alias '%s' is deprecated. See the module docs for more information" % alias,
                    version=old[alias].get("version"),
                    date=old[alias].get("date"),
                    collection_name=old[alias].get("collection_name"),
                )
            if name in parameters:
                warn("Both option %s and its alias %s are set." % (name, alias))
            parameters[name] = parameters[alias]
    return real


def _kind(rule):
    wanted = rule.get("type") or "str"
    if callable(wanted):
        return getattr(wanted, "__name__", str(wanted)), wanted
    return wanted, validation.CHECKERS.get(wanted)


def _converted(value, rule, shown):
    name, checker = _kind(rule)
    checker = checker or validation.CHECKERS.get(name)
    if checker is None:
        raise ArgumentProblem("implementation error: unknown type %s requested for %s" % (name, shown))
    try:
        return checker(value)
    except (TypeError, ValueError) as error:
        raise ArgumentProblem(
            "argument '%s' is of type %s and we were unable to convert to %s: %s"
            % (shown, type(value), name, to_native(error))
        )


def _elements(value, rule, shown):
    wanted = rule.get("elements")
    if wanted is None or value is None:
        return value
    if rule.get("type") != "list" or not isinstance(value, list):
        raise ArgumentProblem("Invalid type %s for option '%s', elements value check is supported only with 'list' type" % (type(value).__name__, shown))
    if rule.get("options") is not None and wanted == "dict":
        # Sub-options of a list convert their mappings themselves.
        return value
    inner = {"type": wanted}
    converted = []
    for item in value:
        try:
            converted.append(_converted(item, inner, shown))
        except ArgumentProblem as problem:
            text = str(problem).replace("argument '", "Elements value for option '", 1)
            raise ArgumentProblem(text)
    return converted


def _check_choices(value, rule, shown):
    choices = rule.get("choices")
    if choices is None:
        return value
    if isinstance(choices, (str, bytes)) or not isinstance(choices, (Sequence, Set, frozenset, type({}.keys()))):
        raise ArgumentProblem("internal error: choices for argument %s are not iterable: %s" % (shown, choices))
    given = value if isinstance(value, list) else [value]
    wrong = [item for item in given if item not in choices]
    if not wrong:
        return value
    if len(wrong) == 1 and not isinstance(value, list):
        # What YAML reads as a boolean may have been a word.
        words = {True: ("yes", "on", "true", "True"), False: ("no", "off", "false", "False")}
        lowered = {"True": True, "False": False}.get(value, value)
        if isinstance(lowered, bool):
            fits = [word for word in words[lowered] if word in choices]
            if len(fits) == 1:
                return fits[0]
    list_ = ", ".join(to_native(choice) for choice in choices)
    if isinstance(value, list):
        raise ArgumentProblem(
            "value of %s must be one or more of: %s. Got no match for: %s"
            % (shown, list_, ", ".join(to_native(item) for item in wrong))
        )
    raise ArgumentProblem("value of %s must be one of: %s, got: %s" % (shown, list_, value))


def _sub_options(value, rule, context, state):
    """Sub-options, each mapping by its own specification."""
    inner = rule["options"]
    shown = " -> ".join(context)
    wants_list = rule.get("type") == "list"
    items = value if isinstance(value, list) else [value]
    done = []
    for item in items:
        if item is None:
            done.append(item)
            continue
        if not isinstance(item, Mapping):
            try:
                item = validation.check_type_dict(item)
            except TypeError:
                raise ArgumentProblem("value of '%s' must be of type dict or list of dicts" % shown)
        item = dict(item)
        check(
            inner,
            item,
            state,
            context,
            mutually_exclusive=rule.get("mutually_exclusive"),
            required_together=rule.get("required_together"),
            required_one_of=rule.get("required_one_of"),
            required_if=rule.get("required_if"),
            required_by=rule.get("required_by"),
        )
        done.append(item)
    return done if wants_list or isinstance(value, list) else done[0]


def supported(argument_spec):
    """The names of parameters for messages, with their aliases."""
    shown = []
    for name in sorted(argument_spec):
        aliases = argument_spec[name].get("aliases")
        shown.append("%s (%s)" % (name, ", ".join(sorted(aliases))) if aliases else name)
    return ", ".join(shown)


def check(argument_spec, parameters, state, context=(), **rules):
    """Checks and converts parameters in place. `state` has `name` and the set `secrets`.

    Raises `ArgumentProblem` for the first thing that is wrong.
    """
    context = list(context)
    state.secrets.update(set_fallbacks(argument_spec, parameters))
    aliases = handle_aliases(argument_spec, parameters)
    state.secrets.update(list_no_log_values(argument_spec, parameters))
    for entry in list_deprecations(argument_spec, parameters):
        deprecate(**entry)
    known = set(argument_spec).union(aliases)
    unknown = sorted(to_native(name) for name in parameters if name not in known)
    if unknown and not state.ignores_unknown:
        where = " found in %s" % " -> ".join(context) if context else ""
        names = ", ".join(" -> ".join(context + [name]) if context else name for name in unknown)
        raise ArgumentProblem(
            "Unsupported parameters for (%s) module: %s%s. Supported parameters include: %s."
            % (state.name, names, where if not context else "", supported(argument_spec))
        )
    try:
        validation.check_mutually_exclusive(
            rules.get("mutually_exclusive"), _given(parameters), context
        )
    except TypeError as error:
        raise ArgumentProblem(to_native(error))
    _set_defaults(argument_spec, parameters, only_values=True)
    if not state.bypasses:
        try:
            validation.check_required_arguments(argument_spec, parameters, context)
        except TypeError as error:
            raise ArgumentProblem(to_native(error))
    for name, rule in argument_spec.items():
        if parameters.get(name) is None:
            continue
        shown = " -> ".join(context + [name]) if context else name
        value = _converted(parameters[name], rule, shown)
        value = _elements(value, rule, shown)
        if not state.bypasses:
            value = _check_choices(value, rule, shown)
        parameters[name] = value
    try:
        if not state.bypasses:
            validation.check_required_together(
                rules.get("required_together"), _given(parameters), context
            )
            validation.check_required_one_of(
                rules.get("required_one_of"), _given(parameters), context
            )
            validation.check_required_if(rules.get("required_if"), parameters, context)
            validation.check_required_by(rules.get("required_by"), parameters, context)
    except TypeError as error:
        raise ArgumentProblem(to_native(error))
    _set_defaults(argument_spec, parameters, only_values=False)
    for name, rule in argument_spec.items():
        if rule.get("options") is None:
            continue
        if parameters.get(name) is None and rule.get("apply_defaults"):
            parameters[name] = {}
        if parameters.get(name) is not None:
            parameters[name] = _sub_options(parameters[name], rule, context + [name], state)


def _given(parameters):
    return {name: value for name, value in parameters.items() if value is not None}


def _set_defaults(argument_spec, parameters, only_values):
    for name, rule in argument_spec.items():
        default = rule.get("default")
        if only_values:
            if default is not None and parameters.get(name) is None:
                parameters[name] = default
        elif name not in parameters:
            parameters[name] = default


def remove_values(value, no_log_strings):
    """A value without secrets: whole ones become a word, parts of texts stars."""
    secrets = sorted((to_text(text) for text in no_log_strings if text), key=len, reverse=True)
    return _without(value, secrets) if secrets else value


def _without(value, secrets):
    if isinstance(value, (str, bytes)):
        text = to_text(value, errors="surrogate_or_strict")
        if text in secrets:
            return HIDDEN
        for secret in secrets:
            text = text.replace(secret, _MASK)
        return text
    if isinstance(value, Mapping):
        return {key: _without(entry, secrets) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_without(item, secrets) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        text = to_text(value)
        if text in secrets:
            return HIDDEN
        return _MASK if any(secret in text for secret in secrets) else value
    return value


def sanitize_keys(obj, no_log_strings, ignore_keys=frozenset()):
    """A value whose keys have no secrets in them."""
    secrets = sorted((to_text(text) for text in no_log_strings if text), key=len, reverse=True)
    if isinstance(obj, Mapping):
        return {
            (key if key in ignore_keys or str(key).startswith("_ansible") else _without(key, secrets)):
            sanitize_keys(value, no_log_strings, ignore_keys)
            for key, value in obj.items()
        }
    if isinstance(obj, (list, tuple)):
        return [sanitize_keys(item, no_log_strings, ignore_keys) for item in obj]
    return obj
