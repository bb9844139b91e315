"""Every reader finds its images in archives whose names were written by another program or machine."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.image_members import find_members, with_member_names
from pipeline.archives.zip_archive import Member, write_archive
from pipeline.datasets.annotations import Tables
from pipeline.datasets.registry import get_dataset

CHANGES: dict[str, Callable[[str], str]] = {
    "backslashes, as PowerShell 5 writes them": lambda name: name.replace("/", "\\"),
    "other case": str.upper,
    "a leading dot": lambda name: f"./{name}",
    "folders in front": lambda name: f"export/2024/{name}",
    "a Unicode form": lambda name: f"Ko\u0308ln/{name}",
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_image_is_found(sample: tuple[str, Path], tmp_path: Path, change: str) -> None:
    name, folder = sample
    for path in folder.rglob("*.*"):
        copy = tmp_path / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".zip":
            copy.write_bytes(path.read_bytes())
            continue
        with zipfile.ZipFile(path) as archive:
            write_archive(copy, [(CHANGES[change](member), archive.read(member)) for member in archive.namelist()])
    published, changed = (get_dataset(name).table_reader().read(root) for root in (folder, tmp_path))
    assert [row["width"] for row in changed.images.to_pylist()] == [
        row["width"] for row in published.images.to_pylist()
    ]
    assert changed.boxes.equals(published.boxes)
    assert contents(changed, tmp_path) == contents(published, folder)


def contents(tables: Tables, root: Path) -> list[bytes]:
    archives = ArchiveFolder(root)
    members = find_members(with_member_names(tables.images, archives), archives)
    return [member.read() for member in members if isinstance(member, Member)]
