"""The members that rows of a table of images stand for, and the files of archives that none stands for."""

from pathlib import Path

import pyarrow as pa

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.image_members import count_unused, find_members, with_member_names
from pipeline.archives.zip_archive import write_archive
from pipeline.core import schema
from tests.support.scenes import image

# The notes are no image file, and are not counted.
MEMBERS = ["val2017/a.jpg", "val2017\\b.jpg", "val2017/C.JPG", "val2017/d.jpg", "val2017/e.jpg", "notes.txt"]


def images(*file_names: str) -> pa.Table:
    rows = [
        image(number) | {"file_name": name, "member": f"val2017/{name}"} for number, name in enumerate(file_names, 1)
    ]
    return pa.Table.from_pylist(rows, schema.IMAGES)


def write(folder: Path, *names: str) -> ArchiveFolder:
    write_archive(folder / "zips" / "val2017.zip", [(name, name.encode()) for name in names])
    write_archive(
        folder / "annotations" / "all.zip", [("instances_val2017.json", b"{}"), ("1.xml", b""), ("labels/1.txt", b"")]
    )
    return ArchiveFolder(folder)


def test_members_get_the_names_that_they_have(tmp_path: Path) -> None:
    archives = write(tmp_path, *MEMBERS)
    table = with_member_names(images("a.jpg", "b.jpg", "/home/me/c.jpg", "f.jpg"), archives)
    assert table["member"].to_pylist() == ["val2017/a.jpg", "val2017\\b.jpg", "val2017/C.JPG", "val2017/f.jpg"]
    assert table["file_name"].to_pylist() == ["a.jpg", "b.jpg", "/home/me/c.jpg", "f.jpg"]
    assert table.schema.equals(schema.IMAGES, check_metadata=True)
    *found, missing = find_members(table, archives)
    assert [member.read() for member in found if not isinstance(member, str)] == [
        b"val2017/a.jpg",
        b"val2017\\b.jpg",
        b"val2017/C.JPG",
    ]
    assert missing == "not in its archive"


def test_reason_names_the_nearest_or_all_that_fit(tmp_path: Path) -> None:
    archives = write(tmp_path, "val2017/image_1.jpg", "val2017/b.jpg", "val2017/B.jpg")
    assert find_members(images("image1.jpg", "b.JPG"), archives) == [
        "not in its archive; the nearest name is 'val2017/image_1.jpg'",
        "not in its archive by this name, and 2 fit: 'val2017/B.jpg', 'val2017/b.jpg'",
    ]


def test_files_without_a_row_are_counted(tmp_path: Path) -> None:
    archives = write(tmp_path, *MEMBERS)
    write_archive(tmp_path / "zips" / "test2017.zip", [("g.jpg", b""), ("h.jpg", b"")])
    assert count_unused(images("b.jpg", "c.jpg", "c.jpg", "none.jpg"), archives).to_pylist() == [
        {"archive": "zips/test2017.zip", "files": 2, "unused": 2, "first_unused": "'g.jpg', 'h.jpg'"},
        {
            "archive": "zips/val2017.zip",
            "files": 5,
            "unused": 3,
            "first_unused": "'val2017/a.jpg', 'val2017/d.jpg', 'val2017/e.jpg'",
        },
    ]
