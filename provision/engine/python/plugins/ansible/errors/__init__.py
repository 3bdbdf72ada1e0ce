"""Exceptions that plugins raise, as Ansible's documentation names them."""


class AnsibleError(Exception):
    """Something that the user can mend."""

    def __init__(self, message="", obj=None, show_content=True, suppress_extended_error=None,
                 orig_exc=None):
        super().__init__(message)
        self.message = "%s" % message
        self.obj = obj
        self.orig_exc = orig_exc

    def __str__(self):
        if self.orig_exc is None or str(self.orig_exc) in self.message:
            return self.message
        return "%s. %s" % (self.message, self.orig_exc)


class AnsibleOptionsError(AnsibleError):
    """An option is wrong."""


class AnsibleParserError(AnsibleError):
    """A file can't be understood."""


class AnsibleRuntimeError(AnsibleError):
    """Something went wrong while running."""


class AnsibleLookupError(AnsibleRuntimeError):
    """A lookup failed."""


class AnsibleUndefinedVariable(AnsibleRuntimeError):
    """A variable has no value."""


class AnsibleFileNotFound(AnsibleRuntimeError):
    """A file is not there."""

    def __init__(self, message="", file_name=None, paths=None, **others):
        text = message or "Could not find or access '%s'" % file_name
        super().__init__(text, **others)


class AnsibleTemplateError(AnsibleRuntimeError):
    """A template is wrong."""


class AnsibleFilterError(AnsibleTemplateError):
    """A filter can't do what it is asked for."""


class AnsibleFilterTypeError(AnsibleFilterError, TypeError):
    """A filter was given a value of a wrong type."""


class AnsibleLookupPluginError(AnsibleLookupError):
    """A lookup failed."""


class AnsibleModuleError(AnsibleRuntimeError):
    """A module failed."""


class AnsibleConnectionFailure(AnsibleRuntimeError):
    """A host can't be reached."""


class AnsibleActionFail(AnsibleRuntimeError):
    """An action failed."""


class AnsiblePluginError(AnsibleError):
    """A plugin can't be used."""


class AnsibleAssertionError(AnsibleError, AssertionError):
    """Something that must hold doesn't."""
