"""The tables of datasets as they are in the working tree, were at a Git revision, or lie in a folder.

    with at_revision("HEAD~1") as version:
        version.datasets  # ["coco", "digits"]
        version.tables("coco").boxes
        version.table("coco", "quarantine.parquet", schema.QUARANTINE)

What a revision names comes from DVC's cache, or from the remote that is configured now; the working tree stays.
"""

import contextlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core import schema
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.parquet import as_corrupt_table_error, type_and_unit
from pipeline.datasets.annotations import Tables

if TYPE_CHECKING:
    from dvc.repo import Repo

DATA = Path("data")
TABLES = "validate"
"""The stage whose tables count: they are what training sees."""

DOWNLOAD = "download"
REQUIRED = {"images.parquet": schema.IMAGES, "boxes.parquet": schema.BOXES, "categories.parquet": schema.CATEGORIES}


class NoRevisionError(BoxlineError):
    """A word that names no revision of the project."""


class DatasetVersion(ABC):
    """One state of the data. `name` is what messages call it, `datasets` those whose tables it has.

    is_folder: it is one folder of tables, which is its only dataset.
    """

    def __init__(self, name: str, datasets: list[str], *, is_folder: bool = False) -> None:
        self.name = name
        self.datasets = datasets
        self.is_folder = is_folder

    def tables(self, dataset: str) -> Tables:
        """Images, boxes and categories of one of its datasets, as `table` reads them."""
        found = []
        for file_name, columns in REQUIRED.items():
            table = self.table(dataset, file_name, columns)
            if table is None:
                raise BoxlineError(
                    f"{dataset} of {self.name} has no {file_name}. `dvc repro validate@{dataset}` makes it."
                )
            found.append(table)
        return Tables(*found)

    def table(self, dataset: str, file_name: str, columns: pa.Schema) -> pa.Table | None:
        """The columns of that schema of one of the dataset's tables; None where this version has no such table.

        Other columns are not read, so that tables of another Boxline serve as long as they have what is asked for.
        Raises BoxlineError where they do not, and where the table cannot be had.
        """
        file = self._open_table(dataset, file_name)
        if file is None:
            return None
        with file:
            return _read_columns(file, columns, f"{file_name} of {dataset}, {self.name}")

    @abstractmethod
    def archive(self, dataset: str, path: str) -> Path | None:
        """An archive of the dataset, `path` below its download folder; None where it is no file on this machine.

        Nothing is fetched: an archive may have many gigabytes.
        """

    @abstractmethod
    def _open_table(self, dataset: str, file_name: str) -> BinaryIO | None: ...


class Folders(DatasetVersion):
    """Folders of tables on disk: by dataset the one with the tables and the one with the archives."""

    def __init__(self, name: str, folders: dict[str, tuple[Path, Path]], *, is_folder: bool = False) -> None:
        super().__init__(name, list(folders), is_folder=is_folder)
        self._folders = folders

    def archive(self, dataset: str, path: str) -> Path | None:
        """An archive of the dataset, where it is there. A path that leads out of the folder names none."""
        found = self._folders[dataset][1] / path
        leads_out = PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts
        return found if found.is_file() and not leads_out else None

    def _open_table(self, dataset: str, file_name: str) -> BinaryIO | None:
        try:
            return (self._folders[dataset][0] / file_name).open("rb")
        except FileNotFoundError:
            return None


class Revision(DatasetVersion):
    """A Git revision of this project, read through DVC; `repo` has been switched to it."""

    def __init__(self, name: str, commit: str, repo: "Repo") -> None:
        outs = [repo.fs.relparts(out.fs_path, repo.root_dir) for out in repo.index.outs if out.hash_info]
        datasets = [parts[1] for parts in outs if len(parts) == 3 and (parts[0], parts[2]) == (DATA.name, TABLES)]
        super().__init__(name, sorted(datasets))
        self._commit = commit
        self._files = repo.dvcfs

    def archive(self, dataset: str, path: str) -> Path | None:
        """An archive of the dataset, where it lies in the cache or in a remote that is a folder of this machine."""
        with contextlib.suppress(BoxlineError):
            file = self._open(dataset, PurePosixPath(DOWNLOAD, path), cache=False)
            if file is not None:
                with file:
                    # What lies on this machine is opened as a plain file, what does not as one of its remote's kind.
                    return Path(file.name) if isinstance(file, io.BufferedReader) else None
        return None

    def _open_table(self, dataset: str, file_name: str) -> BinaryIO | None:
        return self._open(dataset, PurePosixPath(TABLES, file_name), cache=True)

    def _open(self, dataset: str, path: PurePosixPath, *, cache: bool) -> BinaryIO | None:
        """The file of that dataset; None where the revision has none. `cache` keeps what comes from a remote."""
        place = PurePosixPath("/", DATA, dataset, path)
        try:
            if not self._exists(place):
                return None
            return self._files.open(str(place), "rb", cache=cache)
        except Exception as error:  # every kind of remote has its own
            cause = error.__cause__ or error
            stage = f"{path.parts[0]}@{dataset}"
            if isinstance(cause, FileNotFoundError):
                raise BoxlineError(
                    f"{place.relative_to('/')} of {self.name} is neither in DVC's cache nor in its remote. Run "
                    "`dvc push` at that commit where it was built, or build it again: "
                    f"git checkout {self._commit[:7]} && dvc repro {stage}"
                ) from None
            raise BoxlineError(
                f"{place.relative_to('/')} of {self.name} could not be read from DVC's remote ({cause}). Check "
                "`dvc remote list` and the remote's credentials."
            ) from error

    def _exists(self, place: PurePosixPath) -> bool:
        try:
            self._files.info(str(place))
        except FileNotFoundError:
            return False
        return True


def working_tree() -> DatasetVersion:
    """What lies in data/ below the current folder, committed or not."""
    found = {
        path.parent.parent.name: (path.parent, path.parent.parent / DOWNLOAD)
        for path in sorted(DATA.glob(f"*/{TABLES}/images.parquet"))
    }
    if not found:
        raise BoxlineError(
            f"The working tree has no {DATA}/<dataset>/{TABLES}. Run this from the project's root folder, after "
            "`dvc pull` or `dvc repro`."
        )
    return Folders("working tree", found)


@contextlib.contextmanager
def at_revision(revision: str) -> Iterator[DatasetVersion]:
    """The project as a branch, a tag, a commit or an experiment of DVC has it, without datasets where it has no data.

    Raises NoRevisionError where there is no such revision.
    """
    # Here, because DVC takes a while to import and folders do without.
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import SCMError

    with contextlib.ExitStack() as opened:
        try:
            repo = opened.enter_context(Repo(config=_remotes_of_today()))
            commit = opened.enter_context(repo.switch(revision))
            name = revision if commit.startswith(revision) else f"{revision} ({commit[:7]})"
            version = Revision(name, commit, repo)
        except NotDvcRepoError:
            raise NoRevisionError(
                f"{revision!r} is no Git revision, since the current folder is no DVC project. Run this from the "
                "project's root folder."
            ) from None
        except SCMError:
            raise NoRevisionError(f"{revision!r} is no Git revision. `git log --oneline` lists them.") from None
        except DvcException as error:
            raise BoxlineError(f"DVC cannot read {revision!r}: {error}") from error
        yield version


def folder_of_tables(path: Path) -> DatasetVersion:
    """A folder with images.parquet, boxes.parquet, categories.parquet and maybe files.parquet and quarantine.parquet.

    It is one dataset, called as the folder or, where that is one of the pipeline's, as the folder around it. Archives
    are looked for in `download` beside it.
    """
    missing = [name for name in REQUIRED if not (path / name).is_file()]
    if missing:
        raise BoxlineError(
            f"{path} is no folder of tables: {join_items(missing)} not found, expected {join_items(REQUIRED)}."
        )
    place = path.resolve()
    dataset = place.parent.name if place.name in (TABLES, "tables") else place.name
    return Folders(str(path), {dataset: (path, place.parent / DOWNLOAD)}, is_folder=True)


@contextlib.contextmanager
def open_revision(word: str) -> Iterator[DatasetVersion]:
    """A folder that holds images.parquet, or else the revision of that name."""
    folder = Path(word)
    if (folder / "images.parquet").is_file():
        yield folder_of_tables(folder)
        return
    with contextlib.ExitStack() as opened:
        try:
            version = opened.enter_context(at_revision(word))
        except NoRevisionError as error:
            raise BoxlineError(f"{word!r} is no folder with {join_items(REQUIRED)}, and {error}") from None
        if not version.datasets:
            raise BoxlineError(
                f"{version.name} has no tables: its dvc.lock is missing or names no {DATA}/<dataset>/{TABLES}. "
                "After `dvc repro`, commit what belongs to a revision: git add dvc.lock && git commit"
            )
        yield version


def _remotes_of_today() -> dict[str, Any]:
    """The part of DVC's configuration that says where data is and how to get at it.

    A revision has its own .dvc/config, with a remote that may have moved since, and paths relative to that file.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        core = {key: value for key, value in repo.config["core"].items() if key == "remote"}
        return {"core": core, "remote": repo.config["remote"]}


def _read_columns(file: BinaryIO, columns: pa.Schema, where: str) -> pa.Table:
    with as_corrupt_table_error(where, "`dvc repro` builds it again."):
        table = pq.ParquetFile(file)
        for field in columns:
            _require_column(table.schema_arrow, field, where)
        found = table.read(columns.names)
    for field in columns:
        missing = found[field.name].null_count
        if missing and not field.nullable:
            raise BoxlineError(
                f"{where}: column {field.name} has no value in {missing} of {found.num_rows} rows, expected one in "
                "each. Correct the table, or build it again with `dvc repro`."
            )
    return found.cast(columns)


def _require_column(present: pa.Schema, field: pa.Field, where: str) -> None:
    """Raise BoxlineError where the column is missing, or of another type or unit.

    Whether it may hold nulls is not compared: a table that others wrote says so of every column.
    """
    place, expected = present.get_field_index(field.name), type_and_unit(field)
    received = None if place < 0 else type_and_unit(present.field(place).with_nullable(field.nullable))
    if received != expected:
        raise BoxlineError(
            f"{where}: column {field.name} is {received or 'missing'}, expected {expected}. Another version of Boxline "
            "wrote it, which this one cannot read; `dvc repro` builds it again."
        )
