import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.errors import BoxlineError
from pipeline.storage.transfer import Asset, fetch

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


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hangs up in the middle is what some tests are about."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=partial(running.serve_forever, poll_interval=0.01))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


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
