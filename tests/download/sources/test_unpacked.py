import os
import zipfile
from pathlib import Path

import pytest

from pipeline.archives.zip_archive import MAX_IMAGE_BYTES
from pipeline.download.manifest import Asset
from pipeline.download.transfer import download_file
from tests.download.test_transfer import CONTENT, failure

MEMBERS = ["labels.csv", "train/a/9.jpg", "train/b/10.jpg", "train/b/2.jpg"]
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
        assert archive.namelist() == MEMBERS
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


def packed(unpacked: Path, out: Path) -> list[str]:
    """The names of the members of the archive."""
    path = download_file(Asset("set.zip", unpacked=UNPACKED.unpacked), str(unpacked), out)
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_suffixes_in_another_case_are_packed(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "train" / "a" / "8.JPG").touch()
    (unpacked / "labels.csv").rename(unpacked / "Labels.CSV")
    names = ["Labels.CSV", "train/a/8.JPG", "train/a/9.jpg", "train/b/10.jpg", "train/b/2.jpg"]
    assert packed(unpacked, tmp_path / "out") == names


def test_links_out_of_the_folder_are_left_out(unpacked: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").write_text("secret")
    (unpacked / "train" / "a" / "z.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    (unpacked / "train" / "c").symlink_to(tmp_path / "elsewhere")
    assert packed(unpacked, tmp_path / "out") == MEMBERS
    reason = f"is a link that leads out of {unpacked}. Replace it with the file itself. It is left out."
    assert caplog.messages == [f"{unpacked}/train/a/z.jpg {reason}", f"{unpacked}/train/c/1.jpg {reason}"]


def test_unpackable_images_are_left_out_with_a_reason(
    unpacked: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One of them does not keep the others from being packed; the checks find what its rows lack."""
    folder = unpacked / "train" / "a"
    os.mkfifo(folder / "a_pipe.jpg")  # reading it would block forever
    (folder / "b_loop.jpg").symlink_to("b_loop.jpg")
    with (folder / "c_large.jpg").open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)
    latin = Path(os.fsdecode(bytes(folder) + b"/d_cr\xeape.jpg"))
    latin.touch()
    assert packed(unpacked, tmp_path / "out") == MEMBERS
    pipe, loop, large, name = caplog.messages
    assert pipe == f"{folder}/a_pipe.jpg is not a regular file. Replace it with the file itself. It is left out."
    assert loop.startswith(f"{folder}/b_loop.jpg could not be read: ")
    assert large == f"{folder}/c_large.jpg has 67108865 bytes, more than 67108864 allowed. It is left out."
    assert name == f"'{folder}/d_cr\\udceape.jpg' has a name that is not UTF-8. Rename it. It is left out."


def test_annotations_that_cannot_be_packed_are_an_error(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "labels.csv").unlink()
    (unpacked / "labels.csv").symlink_to("/etc/hostname")
    assert failure(UNPACKED, str(unpacked), tmp_path / "out") == (
        f"{unpacked}/labels.csv is a link that leads out of {unpacked}. Replace it with the file itself."
    )
