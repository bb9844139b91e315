"""Tables as they were at a Git revision: from DVC's cache, or from its remote."""

from pathlib import Path, PurePosixPath

from pipeline.errors import BoxlineError

NAMES = ("images.parquet", "boxes.parquet", "categories.parquet")


def tables_of_revision(revision: str, dataset: str, into: Path) -> Path | None:
    """The folder `into` with the tables that `validate` accepted at that revision; None where they cannot be had.

    Raises BoxlineError where there is no such revision.
    """
    # Here, because importing DVC takes longer than anything that asks for no older version.
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        files = DVCFileSystem(".", rev=revision)
        for name in NAMES:
            files.get_file(str(PurePosixPath("data", dataset, "validate", name)), str(into / name))
    except OSError:
        return None
    except (DvcException, SCMError) as error:
        raise BoxlineError(f"{revision}: {error}. `git log --oneline` lists revisions.") from None
    return into
