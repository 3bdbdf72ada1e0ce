"""What plugins import of Jinja2 where that isn't installed: marks of functions, and undefined."""


class Undefined:
    """A value that isn't there; plugins never get one."""

    def __bool__(self):
        return False


class StrictUndefined(Undefined):
    """The same."""


def _marking(mark):
    def decorate(function):
        function.jinja_pass_arg = mark
        return function

    return decorate


pass_context = contextfilter = contextfunction = _marking("context")
pass_environment = environmentfilter = environmentfunction = _marking("environment")
pass_eval_context = evalcontextfilter = _marking("eval_context")
