import zipfile
from pathlib import Path

import pytest

from pipeline.errors import BoxlineError
from pipeline.storage.archives import Archive, ArchiveFolder, write_archive


@pytest.fixture
def archive_path(tmp_path: Path) -> Path:
    path = tmp_path / "zips" / "some.zip"
    write_archive(path, [("folder/a.txt", b"first " * 100), ("folder/b.txt", b"second")])
    return path


def test_members_are_read_in_place(archive_path: Path) -> None:
    with ArchiveFolder(archive_path.parents[1]) as folder:
        archive = folder["zips/some.zip"]
        assert archive.names() == ["folder/a.txt", "folder/b.txt"]
        assert archive.read("folder/b.txt") == b"second"
        assert "folder/a.txt" in archive
        assert "folder/c.txt" not in archive
    assert [path.name for path in archive_path.parent.iterdir()] == ["some.zip"]


def test_the_same_members_make_the_same_file(archive_path: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "again.zip", [("folder/a.txt", b"first " * 100), ("folder/b.txt", b"second")])
    assert (tmp_path / "again.zip").read_bytes() == archive_path.read_bytes()


def test_a_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        Archive(tmp_path / "none.zip")
    assert str(raised.value) == f"{tmp_path}/none.zip not found. `dvc repro` downloads it."


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_a_file_that_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "web.zip"
    path.write_bytes(content)
    with pytest.raises(BoxlineError) as raised:
        Archive(path)
    assert str(raised.value) == (
        f"{path} is not a readable zip archive (File is not a zip file). Delete it and download it again."
    )


def test_a_truncated_archive(archive_path: Path) -> None:
    archive_path.write_bytes(archive_path.read_bytes()[:-60])
    with pytest.raises(BoxlineError, match="is not a readable zip archive"):
        Archive(archive_path)


def test_a_missing_member(archive_path: Path) -> None:
    with Archive(archive_path) as archive, pytest.raises(BoxlineError) as raised:
        archive.read("../../etc/passwd")
    assert str(raised.value) == f"{archive_path}: member ../../etc/passwd not found."


def test_a_damaged_member_fails_its_crc(archive_path: Path) -> None:
    archive_path.write_bytes(archive_path.read_bytes().replace(b"second", b"sEcond"))
    with Archive(archive_path) as archive, pytest.raises(BoxlineError) as raised:
        archive.read("folder/b.txt")
    assert str(raised.value) == (
        f"{archive_path}: member folder/b.txt is damaged (Bad CRC-32 for file 'folder/b.txt'). "
        "Download the archive again."
    )


def test_a_bomb_is_refused_by_its_claimed_size(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("zeros.jpg", bytes(5000))
    with Archive(path) as archive, pytest.raises(BoxlineError) as raised:
        archive.read("zeros.jpg", max_bytes=1000)
    assert str(raised.value) == f"{path}: member zeros.jpg claims 5000 bytes, more than 1000 allowed."
