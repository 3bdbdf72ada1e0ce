"""What lookups are derived from."""

import os

from ansible.errors import AnsibleError, AnsibleFileNotFound
from ansible.utils.display import Display

display = Display()


def prepare(module, name, basedir):
    """A lookup that is ready to run."""
    plugin = module.LookupModule()
    plugin._load_name = name
    plugin._basedir = basedir
    plugin._documentation = getattr(module, "DOCUMENTATION", None)
    return plugin


def convert(value, kind):
    """A value of the type that an option is documented to have."""
    if value is None or kind is None:
        return value
    if kind in ("bool", "boolean"):
        from ansible.module_utils.parsing.convert_bool import boolean

        return boolean(value, strict=False)
    if kind in ("int", "integer"):
        return int(value)
    if kind == "float":
        return float(value)
    if kind == "list":
        return value.split(",") if isinstance(value, str) else list(value)
    if kind in ("str", "string"):
        return value if isinstance(value, str) else str(value)
    return value


class LookupBase:
    """A lookup: `run` answers a list."""

    _load_name = "lookup"
    _basedir = "."
    _documentation = None

    def __init__(self, loader=None, templar=None, **kwargs):
        self._loader = loader
        self._templar = templar
        self._options = {}
        self._display = display

    def run(self, terms, variables=None, **kwargs):
        raise NotImplementedError("%s has no run" % self._load_name)

    def _described(self):
        if not self._documentation:
            return {}
        try:
            import yaml
        except ImportError:
            raise AnsibleError(
                "%s describes its options in YAML, and this Python has no PyYAML to read them "
                "(package python3-yaml)" % self._load_name
            )
        return (yaml.safe_load(self._documentation) or {}).get("options") or {}

    def set_options(self, task_keys=None, var_options=None, direct=None):
        direct, variables = direct or {}, var_options or {}
        self._options = {}
        for name, described in self._described().items():
            self._options[name] = self._chosen(name, described or {}, direct, variables)
        for name, value in direct.items():
            self._options.setdefault(name, value)

    def _chosen(self, name, described, direct, variables):
        kind = described.get("type")
        for known in [name] + (described.get("aliases") or []):
            if known in direct:
                return convert(direct[known], kind)
        for source in described.get("vars") or []:
            if source.get("name") in variables:
                return convert(variables[source["name"]], kind)
        for source in described.get("env") or []:
            if source.get("name") in os.environ:
                return convert(os.environ[source["name"]], kind)
        if described.get("required") and name != "_terms":
            raise AnsibleError("%s: the option %s is required" % (self._load_name, name))
        return convert(described.get("default"), kind)

    def get_option(self, option, hostvars=None):
        if option not in self._options:
            raise KeyError("%s has no option %s" % (self._load_name, option))
        return self._options[option]

    def get_options(self, hostvars=None):
        return dict(self._options)

    def set_option(self, option, value):
        self._options[option] = value

    def has_option(self, option):
        return option in self._options

    def get_basedir(self, variables):
        return (variables or {}).get("role_path") or self._basedir

    def find_file_in_search_path(self, variables, subdir, needle, ignore_missing=False):
        places = (variables or {}).get("ansible_search_path") or [self.get_basedir(variables)]
        tried = [os.path.join(place, part, needle) for place in places for part in (subdir, "")]
        for path in [needle] if os.path.isabs(needle) else tried:
            if os.path.exists(path):
                return os.path.abspath(path)
        if ignore_missing:
            return None
        raise AnsibleFileNotFound(file_name=needle)

    @staticmethod
    def _flatten(terms):
        flat = []
        for term in terms:
            flat.extend(term if isinstance(term, (list, tuple)) else [term])
        return flat

    @staticmethod
    def _combine(a, b):
        return [LookupBase._flatten([x, y]) for x in a for y in b]

    @staticmethod
    def _flatten_hash_to_list(terms):
        return [{"key": key, "value": value} for key, value in terms.items()]
