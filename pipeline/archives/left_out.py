"""Warnings about files that are left out: the first ones are named, and the others are counted."""

import logging

logger = logging.getLogger(__name__)

MAX_WARNINGS = 10


class LeftOutFiles:
    """Logs why files are left out. At the end of the block it logs how many more there were than it has named.

    Attributes:
        num_files: the number of files left out.

    """

    def __init__(self, subject: str) -> None:
        """`subject` is the folder or archive that holds the files."""
        self.num_files = 0
        self._subject = subject

    def __enter__(self) -> "LeftOutFiles":
        return self

    def add(self, reason: str) -> None:
        """Count a file; `reason` is a sentence about it."""
        self.num_files += 1
        if self.num_files <= MAX_WARNINGS:
            logger.warning("%s It is left out.", reason)

    def __exit__(self, *_: object) -> None:
        if self.num_files > MAX_WARNINGS:
            logger.warning("%s: %d more are left out.", self._subject, self.num_files - MAX_WARNINGS)
