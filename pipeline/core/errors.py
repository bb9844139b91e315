"""What a user can put right. Anything else is a bug and keeps its traceback."""

from collections.abc import Iterable


class BoxlineError(Exception):
    """A fault in parameters, data, network or machine, told in one sentence that a user can act on.

    The message says what is wrong, where, what was received, what was expected and what to do next.
    A stage prints it without a traceback and ends with `exit_code`.
    """

    exit_code = 1


class NetworkError(BoxlineError):
    """A server or a network that failed again and again; it may have recovered later.

    The exit code is that of `sysexits.h` for a failure that may pass.
    """

    exit_code = 75


def join_items(values: Iterable[object], limit: int = 10) -> str:
    """The first `limit` values for a message, and how many follow.

    >>> listed(range(3)), listed("abcd", limit=2)
    ('0, 1, 2', 'a, b and 2 more')
    """
    texts = [str(value) for value in values]
    shown = ", ".join(texts[:limit])
    return shown if len(texts) <= limit else f"{shown} and {len(texts) - limit} more"


def truncate(text: str, limit: int = 100) -> str:
    """Text of a stranger for a message: on one line, and no more than `limit` characters of it.

    >>> shortened("one   two"), shortened("abcdef", limit=3)
    ('one two', 'abc...')
    """
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[:limit]}..."


def root_cause(error: BaseException) -> BaseException:
    """The first of a chain of wrapped errors, which is the one that says something."""
    while error.__context__ is not None:
        error = error.__context__
    return error
