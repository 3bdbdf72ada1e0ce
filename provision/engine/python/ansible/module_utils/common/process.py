"""Programs of the system."""

import os

from ansible.module_utils.common.file import is_executable

_SYSTEM = ("/sbin", "/usr/sbin", "/usr/local/sbin")


def get_bin_path(arg, opt_dirs=None, required=None):
    """The path of a program along `opt_dirs`, `PATH` and the folders of root."""
    folders = [folder for folder in (opt_dirs or []) if folder]
    folders += os.environ.get("PATH", "").split(os.pathsep)
    folders += [folder for folder in _SYSTEM if folder not in folders]
    for folder in folders:
        path = os.path.join(folder, arg)
        if folder and os.path.isfile(path) and is_executable(path):
            return path
    raise ValueError(
        'Failed to find required executable "%s" in paths: %s' % (arg, os.pathsep.join(folders))
    )
