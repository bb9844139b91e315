"""Versions of the datasets' tables: the working tree, a Git revision, or a folder.

    with at_revision("HEAD~1") as version:
        version.datasets  # ["coco", "digits"]
        version.tables("coco").boxes
        version.table("coco", "quarantine.parquet", schema.QUARANTINE)

Tables of a revision come from DVC's cache or from the remote that is configured now; nothing is checked out.
"""

import contextlib
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core import schema
from pipeline.core.atomic_files import read_json
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.parquet import as_corrupt_table_error, type_and_unit
from pipeline.datasets.annotations import Tables

if TYPE_CHECKING:
    from dvc.repo import Repo

DATA = Path("data")
VALIDATE_STAGE = "validate"
"""The stage whose tables are compared, since training reads them."""

DOWNLOAD = "download"
SPLIT = schema.IMAGES.field("split")
BOXES = "boxes.parquet"
REQUIRED_TABLES = {
    "images.parquet": schema.IMAGES,
    BOXES: schema.BOXES,
    "categories.parquet": schema.CATEGORIES,
}


def targets_report_path(system: str) -> Path:
    """The report of the stage `targets` of a system."""
    return Path("reports", system, "targets.json")


class UnknownRevisionError(BoxlineError):
    """A name is not that of a Git revision of the project."""


class NoTablesError(BoxlineError):
    """A revision has no tables of any dataset."""


class DatasetVersion(ABC):
    """One version of the datasets.

    Attributes:
        name: what messages call it.
        datasets: names of the datasets whose tables it has.
        is_folder: whether it is a single folder of tables, which is then its only dataset.

    """

    def __init__(self, name: str, datasets: list[str], *, is_folder: bool = False) -> None:
        self.name = name
        self.datasets = datasets
        self.is_folder = is_folder

    def tables(self, dataset: str) -> Tables:
        """Read images, boxes and categories of a dataset.

        Raises:
            BoxlineError: if one is missing or cannot be read as `table` describes.

        """
        tables = []
        for file_name, columns in REQUIRED_TABLES.items():
            table = self.table(dataset, file_name, columns)
            if table is None:
                raise BoxlineError(
                    f"{dataset} of {self.name} has no {file_name}. `dvc repro validate@{dataset}` creates it."
                )
            tables.append(table)
        return Tables(*tables)

    def table(self, dataset: str, file_name: str, columns: pa.Schema) -> pa.Table | None:
        """Read some columns of a table.

        Other columns are ignored, so that tables of other versions of Boxline can be read if they have these.

        Args:
            dataset: name of the dataset.
            file_name: name of the table's file.
            columns: the columns to read, with their types and units.

        Returns:
            The columns; None if the version has no such table.

        Raises:
            BoxlineError: if the columns do not match or the table cannot be read.

        """
        file = self._open_table(dataset, file_name)
        if file is None:
            return None
        with file:
            return self._read_columns(dataset, file_name, file, columns)

    def _read_columns(self, dataset: str, file_name: str, file: BinaryIO, columns: pa.Schema) -> pa.Table:
        source = f"{file_name} of {dataset}, {self.name}"
        with as_corrupt_table_error(source, "`dvc repro` builds it again."):
            parquet = pq.ParquetFile(file)
            stored = parquet.schema_arrow
            # Earlier versions of Boxline had image ids that were unique over all splits, and no split in these tables.
            lacks_split = "split" in columns.names and "image_id" in stored.names and "split" not in stored.names
            wanted = pa.schema([field for field in columns if field.name != "split"]) if lacks_split else columns
            for field in wanted:
                _require_column(stored, field, source)
            table = parquet.read(wanted.names)
        for field in wanted:
            _require_values(table, field, source)
        if lacks_split and file_name != "images.parquet":
            table = table.append_column("split", self._splits_of(dataset, table["image_id"]))
        return table.select(columns.names).cast(columns)

    def _splits_of(self, dataset: str, image_ids: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the split of each image id; "unknown" if the version has no such image."""
        images = self.table(dataset, "images.parquet", pa.schema([schema.IMAGES.field("image_id"), SPLIT]))
        if images is None:
            return pa.chunked_array([pa.repeat("unknown", len(image_ids))])
        rows = pc.index_in(image_ids, value_set=images["image_id"].combine_chunks())
        return pc.fill_null(images["split"].take(rows), "unknown")

    def outlines(self, dataset: str) -> pa.ChunkedArray | None:
        """Read the outlines of the boxes, schema.OUTLINE.

        Returns:
            One value per row of boxes.parquet; None if its writer, an earlier version of Boxline, had no outlines.

        """
        file = self._open_table(dataset, BOXES)
        if file is None:
            return None
        with file, as_corrupt_table_error(f"{BOXES} of {dataset}, {self.name}", "`dvc repro` builds it again."):
            parquet = pq.ParquetFile(file)
            name = schema.OUTLINE.name
            return parquet.read([name])[name].cast(schema.OUTLINE.type) if name in parquet.schema_arrow.names else None

    @abstractmethod
    def targets_report(self, system: str) -> dict[str, Any] | None:
        """Read reports/<system>/targets.json; None if the version has none on this machine or in DVC's remote."""

    @abstractmethod
    def archive(self, dataset: str, path: str) -> Path | None:
        """Return an archive of a dataset, or None if it is not on this machine.

        Archives are not downloaded: they may have many gigabytes.

        Args:
            dataset: name of the dataset.
            path: of the archive in the dataset's download folder.

        """

    @abstractmethod
    def _open_table(self, dataset: str, file_name: str) -> BinaryIO | None: ...


class FolderVersion(DatasetVersion):
    """Datasets in folders on disk: for each its folder of tables and its folder of archives."""

    def __init__(self, name: str, folders: dict[str, tuple[Path, Path]], *, is_folder: bool = False) -> None:
        super().__init__(name, list(folders), is_folder=is_folder)
        self._folders = folders

    def archive(self, dataset: str, path: str) -> Path | None:
        """Return an archive of a dataset, or None if it is missing or `path` leads out of the folder."""
        archive = self._folders[dataset][1] / path
        is_outside = PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts
        return archive if archive.is_file() and not is_outside else None

    def targets_report(self, system: str) -> dict[str, Any] | None:
        """Read reports/<system>/targets.json; None if there is none. A folder of tables has no reports."""
        try:
            return None if self.is_folder else dict(read_json(targets_report_path(system)))
        except FileNotFoundError:
            return None

    def _open_table(self, dataset: str, file_name: str) -> BinaryIO | None:
        try:
            return (self._folders[dataset][0] / file_name).open("rb")
        except FileNotFoundError:
            return None


class GitVersion(DatasetVersion):
    """Datasets of a Git revision, read through a DVC repository that is switched to it."""

    def __init__(self, name: str, commit: str, repo: "Repo") -> None:
        outs = [repo.fs.relparts(out.fs_path, repo.root_dir) for out in repo.index.outs if out.hash_info]
        datasets = [
            parts[1] for parts in outs if len(parts) == 3 and (parts[0], parts[2]) == (DATA.name, VALIDATE_STAGE)
        ]
        super().__init__(name, sorted(datasets))
        self._commit = commit
        self._files = repo.dvcfs

    def archive(self, dataset: str, path: str) -> Path | None:
        """Return an archive of a dataset if it is in the cache or in a remote on this machine, else None."""
        with contextlib.suppress(BoxlineError):
            file = self._open(dataset, PurePosixPath(DOWNLOAD, path), cache=False)
            if file is not None:
                with file:
                    # DVC opens local files as plain ones, and others with the file class of their remote.
                    return Path(file.name) if isinstance(file, io.BufferedReader) else None
        return None

    def targets_report(self, system: str) -> dict[str, Any] | None:
        """Read reports/<system>/targets.json; None if it is neither in the cache nor in the remote."""
        # Nothing depends on this report, and each kind of remote has its own errors.
        with contextlib.suppress(Exception):
            return dict(json.loads(self._files.read_bytes(f"/{targets_report_path(system).as_posix()}")))
        return None

    def _open_table(self, dataset: str, file_name: str) -> BinaryIO | None:
        return self._open(dataset, PurePosixPath(VALIDATE_STAGE, file_name), cache=True)

    def _open(self, dataset: str, path: PurePosixPath, *, cache: bool) -> BinaryIO | None:
        """Open a file of a dataset; None if the revision has none. `cache` keeps files that come from a remote."""
        location = PurePosixPath("/", DATA, dataset, path)
        try:
            if not self._exists(location):
                return None
            return self._files.open(str(location), "rb", cache=cache)
        except Exception as error:  # each kind of remote has its own classes
            cause = error.__cause__ or error
            stage = f"{path.parts[0]}@{dataset}"
            if isinstance(cause, FileNotFoundError):
                raise BoxlineError(
                    f"{location.relative_to('/')} of {self.name} is neither in DVC's cache nor in its remote. Run "
                    "`dvc push` at that commit on the machine that built it, or build it again: "
                    f"git checkout {self._commit[:7]} && dvc repro {stage}"
                ) from None
            raise BoxlineError(
                f"{location.relative_to('/')} of {self.name} could not be read from DVC's remote ({cause}). Check "
                "`dvc remote list` and the remote's credentials."
            ) from error

    def _exists(self, location: PurePosixPath) -> bool:
        try:
            self._files.info(str(location))
        except FileNotFoundError:
            return False
        return True


def working_tree() -> DatasetVersion:
    """Return the datasets in data/ of the current folder, committed or not.

    Raises:
        BoxlineError: if there are none.

    """
    folders = {
        path.parent.parent.name: (path.parent, path.parent.parent / DOWNLOAD)
        for path in sorted(DATA.glob(f"*/{VALIDATE_STAGE}/images.parquet"))
    }
    if not folders:
        raise BoxlineError(
            f"The working tree has no {DATA}/<dataset>/{VALIDATE_STAGE}. Run this from the project's root folder, "
            "after `dvc pull` or `dvc repro`."
        )
    return FolderVersion("working tree", folders)


@contextlib.contextmanager
def at_revision(revision: str) -> Iterator[DatasetVersion]:
    """Open the datasets of a Git revision. The version has no datasets if the revision has no tables.

    Args:
        revision: a branch, tag or commit, or an experiment of DVC.

    Raises:
        UnknownRevisionError: if there is no such revision.
        BoxlineError: if DVC cannot read it.

    """
    # Imported here because DVC takes a while to import, and folders do not need it.
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import SCMError

    with contextlib.ExitStack() as stack:
        try:
            repo = stack.enter_context(Repo(config=_current_remotes()))
            commit = stack.enter_context(repo.switch(revision))
            name = revision if commit.startswith(revision) else f"{revision} ({commit[:7]})"
            version = GitVersion(name, commit, repo)
        except NotDvcRepoError:
            raise UnknownRevisionError(
                f"{revision!r} is not a Git revision, since the current folder is not a DVC project. Run this from the "
                "project's root folder."
            ) from None
        except SCMError:
            raise UnknownRevisionError(f"{revision!r} is not a Git revision. `git log --oneline` lists them.") from None
        except DvcException as error:
            raise BoxlineError(f"DVC cannot read {revision!r}: {error}") from error
        yield version


def folder_of_tables(path: Path) -> DatasetVersion:
    """Return a folder of tables as a version with one dataset.

    The dataset is named like the folder or, if that is `validate` or `tables`, like its parent. Archives are expected
    in the folder `download` next to it.

    Args:
        path: a folder with images.parquet, boxes.parquet, categories.parquet and optionally files.parquet and
            quarantine.parquet.

    Raises:
        BoxlineError: if a required table is missing.

    """
    missing = [name for name in REQUIRED_TABLES if not (path / name).is_file()]
    if missing:
        raise BoxlineError(
            f"{path} is not a folder of tables: {join_items(missing)} not found, expected "
            f"{join_items(REQUIRED_TABLES)}."
        )
    folder = path.resolve()
    dataset = folder.parent.name if folder.name in (VALIDATE_STAGE, "tables") else folder.name
    return FolderVersion(str(path), {dataset: (path, folder.parent / DOWNLOAD)}, is_folder=True)


@contextlib.contextmanager
def open_revision(name: str) -> Iterator[DatasetVersion]:
    """Open a folder of tables, or else a Git revision.

    Args:
        name: the path of a folder that contains images.parquet, or the name of a revision.

    Raises:
        BoxlineError: if it is neither, or has no tables.

    """
    folder = Path(name)
    if (folder / "images.parquet").is_file():
        yield folder_of_tables(folder)
        return
    with contextlib.ExitStack() as stack:
        try:
            version = stack.enter_context(at_revision(name))
        except UnknownRevisionError as error:
            raise BoxlineError(f"{name!r} is not a folder with {join_items(REQUIRED_TABLES)}, and {error}") from None
        if not version.datasets:
            raise NoTablesError(
                f"{version.name} has no tables: its dvc.lock is missing or has no {DATA}/<dataset>/{VALIDATE_STAGE}. "
                "After `dvc repro`, commit dvc.lock: git add dvc.lock && git commit"
            )
        yield version


def _current_remotes() -> dict[str, Any]:
    """Return the current configuration of remotes.

    A revision has its own .dvc/config, whose remote may have moved since, and whose paths are relative to that file.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        core = {key: value for key, value in repo.config["core"].items() if key == "remote"}
        return {"core": core, "remote": repo.config["remote"]}


def _require_values(table: pa.Table, field: pa.Field, source: str) -> None:
    nulls = table[field.name].null_count
    if nulls and not field.nullable:
        raise BoxlineError(
            f"{source}: column {field.name} has no value in {nulls} of {table.num_rows} rows, expected one in "
            "each. Correct the table, or build it again with `dvc repro`."
        )


def _require_column(received_schema: pa.Schema, field: pa.Field, source: str) -> None:
    """Raise a BoxlineError if the column is missing or has another type or unit.

    Nullability is not compared: tables from other writers declare every column nullable.
    """
    index, expected = received_schema.get_field_index(field.name), type_and_unit(field)
    received = None if index < 0 else type_and_unit(received_schema.field(index).with_nullable(field.nullable))
    if received != expected:
        raise BoxlineError(
            f"{source}: column {field.name} is {received or 'missing'}, expected {expected}. The table was written by "
            "another version of Boxline; `dvc repro` builds it again."
        )
