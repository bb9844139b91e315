"""Errors that a user can correct, and helpers for their messages. Every other exception is a bug."""

from collections.abc import Iterable


class BoxlineError(Exception):
    """A fault in parameters, data, network or machine that a user can correct.

    The message is one sentence or two: what is wrong, where, what was received, what was expected, what to do next.
    Stages and commands print it without a traceback and end with `exit_code`.
    """

    exit_code = 1


class NetworkError(BoxlineError):
    """A server or network that kept failing after several retries and may recover later."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


def join_items(values: Iterable[object], limit: int = 10) -> str:
    """List the first `limit` values for a message, with the number of the rest.

    >>> join_items(range(3)), join_items("abcd", limit=2)
    ('0, 1, 2', 'a, b and 2 more')
    """
    texts = [str(value) for value in values]
    shown = ", ".join(texts[:limit])
    return shown if len(texts) <= limit else f"{shown} and {len(texts) - limit} more"


def truncate(text: str, limit: int = 100) -> str:
    """Put foreign text on one line of at most `limit` characters.

    >>> truncate("one   two"), truncate("abcdef", limit=3)
    ('one two', 'abc...')
    """
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[:limit]}..."


def root_cause(error: BaseException) -> BaseException:
    """The innermost of a chain of wrapped errors, which has the most specific message."""
    while error.__context__ is not None:
        error = error.__context__
    return error
