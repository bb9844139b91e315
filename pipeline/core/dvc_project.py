"""The DVC project in the current folder. Importing this module does not import DVC, which takes a while."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.dvc_lock import DVC_LOCK
from pipeline.core.errors import BoxlineError
from pipeline.core.redaction import redact_message

if TYPE_CHECKING:
    from dvc.repo import Repo


@contextlib.contextmanager
def open_project() -> Iterator["Repo"]:
    """Open the DVC project in the current folder and yield DVC's object for it.

    Raises:
        BoxlineError: if there is no project, or its configuration, dvc.yaml or dvc.lock is invalid.

    """
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    try:
        repo = Repo(".")
    except NotDvcRepoError:
        raise BoxlineError(
            "The current folder is not a DVC project: it has no .dvc. Run this from the project's root folder."
        ) from None
    except DvcException as error:
        raise BoxlineError(
            f"DVC cannot read its configuration: {redact_message(error).rstrip('.')}. See .dvc/config."
        ) from None
    with repo:
        try:
            _ = repo.index.outs
        except DvcException as error:
            raise BoxlineError(
                f"DVC cannot read dvc.yaml and {DVC_LOCK}: {redact_message(error).rstrip('.')}. `dvc status` shows "
                "details."
            ) from None
        yield repo


def require_lock() -> None:
    """Raise a BoxlineError if the current folder has no dvc.lock."""
    if not Path(DVC_LOCK).is_file():
        raise BoxlineError(
            f"There is no {DVC_LOCK} in the current folder, so there is no run. `dvc repro` creates one; run this "
            "from the project's root folder."
        )
