"""What plugins tell the user; it goes to the standard error."""

import sys


class Display:
    """Says things. Details are for Ansible's own -v levels and are not shown."""

    verbosity = 0

    def _say(self, text):
        sys.stderr.write("%s\n" % text)

    def display(self, msg, color=None, stderr=False, screen_only=False, log_only=False, newline=True):
        self._say(msg)

    def warning(self, msg, formatted=False, **others):
        self._say("[WARNING]: %s" % msg)

    def deprecated(self, msg, *others, **named):
        self._say("[DEPRECATION WARNING]: %s" % msg)

    def error(self, msg, wrap_text=True, **others):
        self._say("ERROR! %s" % msg)

    def verbose(self, msg, host=None, caplevel=2):
        """Details."""

    def v(self, msg, host=None):
        """Details."""

    vv = vvv = vvvv = vvvvv = vvvvvv = v

    def debug(self, msg, host=None):
        """Details."""
