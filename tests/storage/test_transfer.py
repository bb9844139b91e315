import hashlib
import os
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pipeline.errors import BoxlineError
from pipeline.storage.archives import MAX_IMAGE_BYTES
from pipeline.storage.transfer import Asset, fetch
from tests.servers import serving

CONTENT = bytes(range(256)) * 5000  # more than one chunk
REPAIR = "The publisher's file changed or arrived damaged: run it again, or name a mirror under `source`."


class Handler(BaseHTTPRequestHandler):
    """/good.bin is right; /cut.bin breaks off; /page.zip is HTML; anything else is missing."""

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        if name == "missing.bin":
            self.send_error(404, "Not Found")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if name == "page.zip" else "application/octet-stream")
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if name == "cut.bin" else CONTENT)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(Handler) as address:
        yield address


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "good.bin").write_bytes(CONTENT)
    return folder


def digest(name: str) -> str:
    return f"{name}:{hashlib.new(name, CONTENT).hexdigest()}"


@pytest.mark.parametrize("name", ["md5", "sha256"])
def test_from_a_folder_and_from_a_server(mirror: Path, server: str, tmp_path: Path, name: str) -> None:
    asset = Asset("sub/good.bin", len(CONTENT), digest(name))
    for number, root in enumerate((str(mirror), f"{mirror}/", server)):
        assert fetch(asset, root, tmp_path / str(number)).read_bytes() == CONTENT


def failure(asset: Asset, root: str, folder: Path) -> str:
    with pytest.raises(BoxlineError) as raised:
        fetch(asset, root, folder)
    assert [path for path in folder.rglob("*") if path.is_file()] == [], "something half-written was left"
    return str(raised.value)


def test_a_wrong_digest(mirror: Path, tmp_path: Path) -> None:
    wrong = "md5:" + "0" * 32
    assert failure(Asset("sub/good.bin", None, wrong), str(mirror), tmp_path / "out") == (
        f"{mirror}/sub/good.bin has md5 {digest('md5')[4:]}, expected {'0' * 32}. {REPAIR}"
    )


def test_a_wrong_size(mirror: Path, tmp_path: Path) -> None:
    assert failure(Asset("sub/good.bin", 17), str(mirror), tmp_path / "out") == (
        f"{mirror}/sub/good.bin has {len(CONTENT)} bytes, expected 17. {REPAIR}"
    )


def test_a_missing_folder(tmp_path: Path) -> None:
    assert failure(Asset("zips/val2017.zip"), f"{tmp_path}/nowhere", tmp_path / "out") == (
        f"{tmp_path}/nowhere/zips/val2017.zip not found. "
        "A folder given as `source` in params.yaml is laid out like the upstream."
    )


def test_a_folder_in_place_of_the_file(mirror: Path, tmp_path: Path) -> None:
    assert failure(Asset("sub"), str(mirror), tmp_path / "out") == f"{mirror}/sub could not be read: Is a directory."


def test_an_address_that_answers_404(server: str, tmp_path: Path) -> None:
    assert failure(Asset("missing.bin"), server, tmp_path / "out") == (
        f"{server}/missing.bin answered 404 Not Found. Check the address under `source` in params.yaml."
    )


def test_a_web_page_in_place_of_the_file(server: str, tmp_path: Path) -> None:
    assert failure(Asset("page.zip"), server, tmp_path / "out") == (
        f"{server}/page.zip is a web page, not a file. Check the address under `source` in params.yaml."
    )


def test_a_connection_that_breaks_off(server: str, tmp_path: Path) -> None:
    message = failure(Asset("cut.bin"), server, tmp_path / "out")
    assert message.startswith(f"{server}/cut.bin could not be read: ")
    assert message.endswith("Check the network, then run it again.")


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    message = failure(Asset("good.bin"), "http://127.0.0.1:9", tmp_path / "out")
    assert message.startswith("http://127.0.0.1:9/good.bin could not be read: ")
    assert message.endswith("Connection refused. Check the network, then run it again.")


def test_an_address_of_another_kind(tmp_path: Path) -> None:
    assert failure(Asset("good.bin"), "s3://bucket/coco", tmp_path / "out") == (
        "s3://bucket/coco cannot be read: `source` in params.yaml takes a folder or an http(s) address."
    )


UNPACKED = Asset("set.zip", 17, "md5:0", unpacked=("labels.csv", "train/*/*.jpg"))


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked"
    files = ["labels.csv", "train/b/2.jpg", "train/a/9.jpg", "train/b/10.jpg"]
    for name in [*files, "other.csv", "train/3.jpg", "train/a/b/4.jpg", "train/a/5.png", "train/a/._9.jpg"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_a_folder_that_holds_the_members_is_packed(unpacked: Path, tmp_path: Path) -> None:
    path = fetch(UNPACKED, str(unpacked), tmp_path / "out")
    assert path == tmp_path / "out" / "set.zip"
    with zipfile.ZipFile(path) as archive:
        # in order of their names, and nothing else that lies there
        assert archive.namelist() == ["labels.csv", "train/a/9.jpg", "train/b/10.jpg", "train/b/2.jpg"]
        assert all(archive.read(name) == name.encode() for name in archive.namelist())
    os.utime(unpacked / "labels.csv", (0, 0))
    assert fetch(UNPACKED, str(unpacked), tmp_path / "again").read_bytes() == path.read_bytes()


def test_an_archive_goes_before_its_members(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "set.zip").write_bytes(CONTENT)
    asset = Asset("set.zip", unpacked=UNPACKED.unpacked)
    assert fetch(asset, str(unpacked), tmp_path / "out").read_bytes() == CONTENT


def test_a_folder_that_lacks_some_members(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "labels.csv").unlink()
    assert failure(UNPACKED, str(unpacked), tmp_path / "out") == (
        f"{unpacked} holds neither set.zip nor, unpacked, labels.csv. "
        "A folder given as `source` in params.yaml is laid out like the upstream."
    )


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert failure(UNPACKED, f"{tmp_path}/nowhere", tmp_path / "out") == (
        f"{tmp_path}/nowhere/set.zip not found. "
        "A folder given as `source` in params.yaml is laid out like the upstream."
    )


def test_links_lead_nowhere_else(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (unpacked / "train" / "a" / "z.jpg").symlink_to(tmp_path / "secret.txt")
    assert failure(UNPACKED, str(unpacked), tmp_path / "out") == (
        f"{unpacked}/train/a/z.jpg is a link that leads out of {unpacked}. Put the file itself there."
    )
    (unpacked / "train" / "a" / "z.jpg").unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").write_text("secret")
    (unpacked / "train" / "c").symlink_to(tmp_path / "elsewhere")
    assert failure(UNPACKED, str(unpacked), tmp_path / "out") == (
        f"{unpacked}/train/c/1.jpg is a link that leads out of {unpacked}. Put the file itself there."
    )


def test_members_that_cannot_be_packed(unpacked: Path, tmp_path: Path) -> None:
    path = unpacked / "train" / "a" / "z.jpg"
    os.mkfifo(path)  # to read it would wait forever
    assert failure(UNPACKED, str(unpacked), tmp_path / "out") == (
        f"{path} is not a regular file. Put the file itself there."
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
