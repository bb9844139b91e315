"""Output of commands, stages and flows on any terminal."""

import io
import sys


def escape_unencodable_output() -> None:
    r"""Let stdout and stderr write characters that their encoding lacks as escapes, such as \u732b, instead of raising.

    Class and file names are foreign text, and the encoding is the user's: Latin-1, ASCII in a container without a
    locale, or UTF-8, which lacks the bytes of file names that are no UTF-8. Every entry point calls this first.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
