import os
import zipfile
from pathlib import Path

import pytest

from pipeline.archives.zip_archive import MAX_IMAGE_BYTES
from pipeline.download.manifest import Asset
from pipeline.download.transfer import download_file
from tests.download.test_transfer import CONTENT, failure

UNPACKED = Asset("set.zip", 17, "md5:0", unpacked=("labels.csv", "train/*/*.jpg"))


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked"
    files = ["labels.csv", "train/b/2.jpg", "train/a/9.jpg", "train/b/10.jpg"]
    for name in [*files, "other.csv", "train/3.jpg", "train/a/b/4.jpg", "train/a/5.png", "train/a/._9.jpg"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_folder_with_members_is_packed(unpacked: Path, tmp_path: Path) -> None:
    path = download_file(UNPACKED, str(unpacked), tmp_path / "out")
    assert path == tmp_path / "out" / "set.zip"
    with zipfile.ZipFile(path) as archive:
        # ordered by name, without the other files of the folder
        assert archive.namelist() == ["labels.csv", "train/a/9.jpg", "train/b/10.jpg", "train/b/2.jpg"]
        assert all(archive.read(name) == name.encode() for name in archive.namelist())
    os.utime(unpacked / "labels.csv", (0, 0))
    assert download_file(UNPACKED, str(unpacked), tmp_path / "again").read_bytes() == path.read_bytes()


def test_archive_takes_precedence_over_members(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "set.zip").write_bytes(CONTENT)
    asset = Asset("set.zip", unpacked=UNPACKED.unpacked)
    assert download_file(asset, str(unpacked), tmp_path / "out").read_bytes() == CONTENT


def test_folder_without_some_members_is_an_error(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "labels.csv").unlink()
    assert failure(UNPACKED, str(unpacked), tmp_path / "out") == (
        f"{unpacked} contains neither set.zip nor its members labels.csv. "
        "A folder given as `source` in params.yaml must have the layout of the upstream."
    )


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    assert failure(UNPACKED, f"{tmp_path}/nowhere", tmp_path / "out") == (
        f"{tmp_path}/nowhere/set.zip not found. "
        "A folder given as `source` in params.yaml must have the layout of the upstream."
    )


def test_links_out_of_the_folder_are_rejected(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (unpacked / "train" / "a" / "z.jpg").symlink_to(tmp_path / "secret.txt")
    assert failure(UNPACKED, str(unpacked), tmp_path / "out") == (
        f"{unpacked}/train/a/z.jpg is a link that leads out of {unpacked}. Replace it with the file itself."
    )
    (unpacked / "train" / "a" / "z.jpg").unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").write_text("secret")
    (unpacked / "train" / "c").symlink_to(tmp_path / "elsewhere")
    assert failure(UNPACKED, str(unpacked), tmp_path / "out") == (
        f"{unpacked}/train/c/1.jpg is a link that leads out of {unpacked}. Replace it with the file itself."
    )


def test_unpackable_members_are_errors(unpacked: Path, tmp_path: Path) -> None:
    path = unpacked / "train" / "a" / "z.jpg"
    os.mkfifo(path)  # reading it would block forever
    assert failure(UNPACKED, str(unpacked), tmp_path / "out") == (
        f"{path} is not a regular file. Replace it with the file itself."
    )
    path.unlink()
    path.symlink_to(path.name)
    assert failure(UNPACKED, str(unpacked), tmp_path / "out").startswith(f"{path} could not be read: ")
    path.unlink()
    with path.open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)
    assert failure(UNPACKED, str(unpacked), tmp_path / "out") == (
        f"{path} has 67108865 bytes, more than 67108864 allowed."
    )
    path.unlink()
    latin = os.fsdecode(bytes(unpacked) + b"/train/cr\xeape")
    Path(latin).mkdir()
    (Path(latin) / "1.jpg").touch()
    assert failure(UNPACKED, str(unpacked), tmp_path / "out") == (
        f"'{unpacked}/train/cr\\udceape/1.jpg' has a name that is not UTF-8. Rename it."
    )
