"""Which system this is."""

import platform


def _os_release():
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path) as file:
                lines = [line.strip().partition("=") for line in file if "=" in line]
        except OSError:
            continue
        return {key: value.strip("\"'") for key, _, value in lines}
    return {}


def get_distribution():
    """The distribution's name, as `Debian`; of other systems the kernel's."""
    if platform.system() != "Linux":
        return platform.system()
    name = _os_release().get("ID", "").capitalize()
    return {
        "Rhel": "Redhat",
        "Ol": "Oracle",
        "Amzn": "Amazon",
        "Opensuse-leap": "Opensuse-leap",
        "": "OtherLinux",
    }.get(name, name)


def get_distribution_version():
    """The distribution's version."""
    return _os_release().get("VERSION_ID", "") if platform.system() == "Linux" else None


def get_distribution_codename():
    """The distribution's code name."""
    return _os_release().get("VERSION_CODENAME") or None


def get_all_subclasses(cls):
    """All classes below a class."""
    found = set()
    pending = [cls]
    while pending:
        for inner in pending.pop().__subclasses__():
            if inner not in found:
                found.add(inner)
                pending.append(inner)
    return found


def get_platform_subclass(cls):
    """The subclass for this distribution, else for this system, else the class itself."""
    distribution, system = get_distribution(), platform.system()
    best = None
    for inner in get_all_subclasses(cls):
        if distribution is not None and getattr(inner, "distribution", None) == distribution:
            if getattr(inner, "platform", None) == system:
                return inner
        if getattr(inner, "distribution", None) is None:
            if getattr(inner, "platform", None) == system:
                best = inner
    return best or cls
