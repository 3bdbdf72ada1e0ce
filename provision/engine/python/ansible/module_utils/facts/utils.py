"""Reading of files and sizes."""

import os


def get_file_content(path, default=None, strip=True):
    """The text of a file, or a default if it can't be read or is empty."""
    if not os.access(path, os.R_OK):
        return default
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            data = file.read()
    except OSError:
        return default
    if strip:
        data = data.strip()
    return data if data else default


def get_file_lines(path, strip=True, line_sep=None):
    """The lines of a file, or what another text separates; a last empty line is none."""
    data = get_file_content(path, strip=strip)
    if not data:
        return []
    if line_sep is None:
        return data.splitlines()
    if len(line_sep) == 1:
        data = data.rstrip(line_sep)
    return data.split(line_sep)


def get_mount_size(mountpoint):
    """Sizes and counts of a file system; nothing if it can't be asked."""
    try:
        data = os.statvfs(mountpoint)
    except OSError:
        return {}
    return {
        "size_total": data.f_frsize * data.f_blocks,
        "size_available": data.f_frsize * data.f_bavail,
        "block_size": data.f_bsize,
        "block_total": data.f_blocks,
        "block_available": data.f_bavail,
        "block_used": data.f_blocks - data.f_bavail,
        "inode_total": data.f_files,
        "inode_available": data.f_favail,
        "inode_used": data.f_files - data.f_favail,
    }
