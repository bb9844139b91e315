"""What commands tell GitHub Actions: workflow commands, and the summary of a step."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from pipeline.core.errors import BoxlineError

logger = logging.getLogger(__name__)

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"


def workflow_command(level: str, title: str, message: str) -> str:
    r"""One workflow command on one line.

    >>> workflow_command("error", "coco: box", "50 % of a,b:\nall")
    '::error title=coco%3A box::50 %25 of a,b:%0Aall'
    """
    return f"::{level} title={_escape(title, ':,')}::{_escape(message)}"


def _escape(text: str, separators: str = "") -> str:
    """Percent-encode the characters that would end the line or the property of a workflow command."""
    for character in "%\r\n" + separators:  # "%" first, since it begins every code
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def append_step_summary(sections: Iterable[str]) -> None:
    """Append Markdown to the file that GITHUB_STEP_SUMMARY names, if it is set.

    Raises:
        BoxlineError: if the file cannot be written to.

    """
    path = os.environ.get(SUMMARY_VARIABLE)
    if not path:
        logger.info("%s is not set, so the report was not written to a file.", SUMMARY_VARIABLE)
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(section + "\n" for section in sections)
    except OSError as error:
        raise BoxlineError(
            f"{SUMMARY_VARIABLE} is {path}, which cannot be written to ({error.strerror}). Expected the file that "
            "GitHub's runner created. Correct the variable, or unset it to do without the report."
        ) from None
