"""What `gan` says in one sentence instead of a traceback, and the exit code that goes with it."""


class Mistake(Exception):
    """The user's: names the thing, the value and the way out. Exit code 2."""

    exit_code = 2


class Failure(Exception):
    """Something that ought to work did not: a stage, DVC, a server. Exit code 1."""

    exit_code = 1


class Busy(Failure):
    """Another process holds a lock; trying again later may succeed."""


class Away(Failure):
    """A network or a server did not answer; trying again later may succeed."""
