import contextlib
import hashlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import BoxlineError
from pipeline.download.manifest import Asset
from pipeline.download.partial_file import PartialFile
from pipeline.download.retry import CancelledError, RetryPolicy
from pipeline.download.sources.base import ByteStream, FileVersion
from pipeline.download.transfer import download_file, receive
from tests.support.servers import BadServer, MissingObject, chunked, etag, gzipped

CONTENT = random.Random(2017).randbytes(300_000)  # more than one chunk
OTHER = random.Random(2018).randbytes(200_000)
NAME = "sub/good.bin"
REPAIR = "The publisher's file changed or arrived damaged: run it again, or name a mirror under `source`."
NETWORK = "Check the network, then run it again."
QUICK = RetryPolicy(tries=3, first_pause_seconds=0.001, longest_pause_seconds=0.01)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "good.bin").write_bytes(CONTENT)
    return folder


def digest(name: str) -> str:
    return f"{name}:{hashlib.new(name, CONTENT).hexdigest()}"


@pytest.mark.parametrize("name", ["md5", "sha256"])
def test_from_a_folder_and_from_a_server(mirror: Path, tmp_path: Path, name: str) -> None:
    asset = Asset(NAME, len(CONTENT), digest(name))
    with BadServer({NAME: CONTENT}).running() as server:
        for number, root in enumerate((str(mirror), f"{mirror}/", server, f"{server}/")):
            assert download_file(asset, root, tmp_path / str(number)).read_bytes() == CONTENT


def test_an_empty_file(tmp_path: Path) -> None:
    with BadServer({NAME: b""}).running() as server:
        assert download_file(Asset(NAME, 0), server, tmp_path, QUICK).read_bytes() == b""


def failure(asset: Asset, root: str, folder: Path, patience: RetryPolicy = QUICK) -> str:
    with pytest.raises(BoxlineError) as raised:
        download_file(asset, root, folder, patience)
    assert [path for path in folder.rglob("*") if path.is_file()] == [], "something half-written was left"
    return str(raised.value)


def test_a_wrong_digest(mirror: Path, tmp_path: Path) -> None:
    wrong = "md5:" + "0" * 32
    assert failure(Asset(NAME, None, wrong), str(mirror), tmp_path / "out") == (
        f"{mirror}/sub/good.bin has md5 {digest('md5')[4:]}, expected {'0' * 32}. {REPAIR}"
    )


def test_a_wrong_size(mirror: Path, tmp_path: Path) -> None:
    assert failure(Asset(NAME, 17), str(mirror), tmp_path / "out") == (
        f"{mirror}/sub/good.bin has {len(CONTENT)} bytes, expected 17. {REPAIR}"
    )


def test_a_missing_folder(tmp_path: Path) -> None:
    assert failure(Asset("zips/val2017.zip"), f"{tmp_path}/nowhere", tmp_path / "out") == (
        f"{tmp_path}/nowhere/zips/val2017.zip not found. "
        "A folder given as `source` in params.yaml is laid out like the upstream."
    )


def test_a_folder_in_place_of_the_file(mirror: Path, tmp_path: Path) -> None:
    assert failure(Asset("sub"), str(mirror), tmp_path / "out") == f"{mirror}/sub could not be read: Is a directory."


def test_a_pipe_in_place_of_the_file(mirror: Path, tmp_path: Path) -> None:
    os.mkfifo(mirror / "pipe")  # to read it would wait forever
    assert failure(Asset("pipe"), str(mirror), tmp_path / "out") == (
        f"{mirror}/pipe is not a regular file. Put the file itself there."
    )


@pytest.mark.parametrize("root", ["file:///etc", "FTP://host/pub", "gs://bucket/a?key=secret"])
def test_an_address_of_another_kind(tmp_path: Path, root: str) -> None:
    shown = root.partition("?")[0].replace("FTP", "ftp")
    assert failure(Asset("good.bin"), root, tmp_path / "out") == (
        f"{shown} cannot be read: `source` in params.yaml takes a folder, or an http(s):// or s3:// address."
    )


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    assert failure(Asset("good.bin"), "http://127.0.0.1:9", tmp_path / "out") == (
        f"http://127.0.0.1:9/good.bin could not be read: [Errno 111] Connection refused (3 tries). {NETWORK}"
    )


CUT = MissingObject(cut=70_000)
FROM_CUT = "bytes=70000-"
TAIL = CONTENT[70_000:]


@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        pytest.param([], [None], id="nothing wrong"),
        pytest.param([CUT], [None, FROM_CUT], id="cut"),
        pytest.param([CUT, MissingObject(cut=30_000)], [None, FROM_CUT, "bytes=100000-"], id="cut twice"),
        pytest.param([CUT, MissingObject(ignores_range=True)], [None, FROM_CUT], id="no ranges"),
        pytest.param([CUT, MissingObject(shift=5)], [None, FROM_CUT, None], id="another range"),
        pytest.param(
            [CUT, MissingObject(shift=5, headers={"Content-Length": None})],
            [None, FROM_CUT, None],
            id="another range, no length",
        ),
        pytest.param([CUT, MissingObject(body=b"short")], [None, FROM_CUT, None], id="a range shorter than it says"),
        pytest.param([CUT, MissingObject(headers={"Content-Range": None})], [None, FROM_CUT, None], id="range unsaid"),
        pytest.param(
            [CUT, MissingObject(headers={"Content-Range": "bytes x"})], [None, FROM_CUT, None], id="range in words"
        ),
        pytest.param([CUT, MissingObject(status=416, body=b"")], [None, FROM_CUT, None], id="416"),
        pytest.param(
            [CUT, MissingObject(headers={"ETag": '"b"'})], [None, FROM_CUT, None], id="range of another version"
        ),
        pytest.param(
            [CUT, MissingObject(headers={"Content-Range": "bytes 70000-299998/299999"})],
            [None, FROM_CUT, None],
            id="range of another size",
        ),
        pytest.param([CUT, MissingObject(body=bytes(230_000))], [None, FROM_CUT, None], id="other bytes in the rest"),
        pytest.param([MissingObject(headers={"ETag": None}, cut=70_000)], [None, None], id="cut without a validator"),
        pytest.param(
            [MissingObject(headers={"ETag": 'W/"a"'}, cut=70_000)], [None, None], id="cut with a weak validator"
        ),
        *(
            pytest.param([MissingObject(status=status, body=b"")], [None, None], id=str(status))
            for status in (408, 429, 500, 502, 503, 504)
        ),
        pytest.param(
            [MissingObject(status=503, headers={"Retry-After": "7200"})] * 2, [None] * 3, id="an hour's pause"
        ),
        pytest.param(
            [MissingObject(status=429, headers={"Retry-After": "soon; 9²"})], [None] * 2, id="a pause in words"
        ),
        *(
            pytest.param([MissingObject(headers={"Content-Length": length})], [None], id=f"length {length[:5]}")
            for length in ("abc", "-5", "", "1e5", "9" * 5000)
        ),
        pytest.param(
            [MissingObject(headers={"Content-Length": "9" * 30})], [None, "bytes=300000-", None], id="a huge length"
        ),
        pytest.param([chunked(CONTENT)], [None], id="chunked"),
        pytest.param([gzipped(CONTENT)], [None], id="encoded"),
    ],
)
def test_the_right_bytes_come_in_the_end(tmp_path: Path, faults: list[MissingObject], ranges: list[str | None]) -> None:
    server = BadServer({NAME: CONTENT}, *faults)
    with server.running() as address:
        path = download_file(Asset(NAME, len(CONTENT), digest("sha256")), address, tmp_path, QUICK)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ranges
    assert {headers["Accept-Encoding"] for headers in server.received_headers} == {"identity"}
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["good.bin"]


def test_a_file_that_changes_between_two_tries(tmp_path: Path) -> None:
    server = BadServer({NAME: CONTENT}, CUT, MissingObject(new_content=OTHER))
    with server.running() as address:
        assert download_file(Asset(NAME), address, tmp_path, QUICK).read_bytes() == OTHER
    assert server.ranges == [None, FROM_CUT]  # If-Range: the second answer is the whole new file
    assert server.received_headers[1]["If-Range"] == etag(CONTENT)


def test_an_announced_length_that_is_too_long(tmp_path: Path) -> None:
    server = BadServer({NAME: CONTENT}, MissingObject(headers={"Content-Length": "300100"}))
    with server.running() as address:
        assert download_file(Asset(NAME), address, tmp_path, QUICK).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", None]


def test_a_length_that_is_told_late_is_believed(tmp_path: Path) -> None:
    server = BadServer({NAME: CONTENT}, chunked(CONTENT, cut=50_000), MissingObject(cut=0))
    with server.running() as address:
        assert download_file(Asset(NAME), address, tmp_path, QUICK).read_bytes() == CONTENT
    assert len(server.ranges) == 3


def test_a_connection_that_is_torn_down(tmp_path: Path) -> None:
    server = BadServer({NAME: CONTENT}, MissingObject(reset=70_000), MissingObject(reset=0))
    with server.running() as address:
        assert download_file(Asset(NAME), address, tmp_path, QUICK).read_bytes() == CONTENT
    assert len(server.ranges) == 3


def test_a_server_that_falls_silent(tmp_path: Path) -> None:
    server = BadServer({NAME: CONTENT}, MissingObject(stall=70_000))
    with server.running() as address:
        path = download_file(
            Asset(NAME), address, tmp_path, RetryPolicy(read_timeout_seconds=0.5, first_pause_seconds=0.001)
        )
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, FROM_CUT]


@pytest.mark.parametrize("location", ["/moved/good.bin", "http://localhost:{port}/moved/good.bin"])
def test_a_redirect_is_followed(tmp_path: Path, location: str) -> None:
    server = BadServer({NAME: b"not this one", "moved/good.bin": CONTENT})
    with server.running() as address:
        target = location.format(port=address.rpartition(":")[2])
        redirect = MissingObject(status=302, headers={"Location": target}, body=b"")
        server.faults = [redirect, CUT, redirect]
        assert download_file(Asset(NAME), address, tmp_path, QUICK).read_bytes() == CONTENT
    asked = [(path, asked_range) for _, path, asked_range in server.requests]
    assert asked == [(NAME, None), ("moved/good.bin", None), (NAME, FROM_CUT), ("moved/good.bin", FROM_CUT)]


PAGE = b"\xef\xbb\xbf\n <!DOCTYPE html><title>Sign in</title>"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        *(
            pytest.param(
                MissingObject(status=status, body=b"no"), f"answered {status} {reason}. {{advice}}", id=str(status)
            )
            for status, reason in [
                (204, "No Content"),
                (304, "Not Modified"),
                (401, "Unauthorized"),
                (403, "Forbidden"),
                (404, "Not Found"),
                (410, "Gone"),
                (416, "Requested Range Not Satisfiable"),
            ]
        ),
        pytest.param(
            MissingObject(headers={"Content-Type": "Text/HTML; charset=x"}), "is a web page, not a file. {advice}"
        ),
        pytest.param(
            MissingObject(body=PAGE.ljust(300_000)), "is a web page, not a file. {advice}", id="page by its first bytes"
        ),
        pytest.param(
            MissingObject(status=302, headers={"Location": "file:///etc/passwd?key=secret"}, body=b""),
            "could not be read: No connection adapters were found for 'file:///etc/passwd'. {advice}",
            id="redirect to a file",
        ),
        pytest.param(
            MissingObject(headers={"Content-Length": "299900"}), "has 299900 bytes, expected 300000. {repair}"
        ),
        pytest.param(MissingObject(body=CONTENT[:-1]), "has 299999 bytes, expected 300000. {repair}", id="too short"),
        pytest.param(chunked(CONTENT[:-1]), "has 299999 bytes, expected 300000. {repair}", id="chunked, too short"),
        pytest.param(
            chunked(CONTENT + b"more"),
            "sent more than 300000 bytes, which are all that is taken.",
            id="chunked, too long",
        ),
        pytest.param(
            MissingObject(body=bytes(300_000)),
            f"has sha256 {hashlib.sha256(bytes(300_000)).hexdigest()}, expected {digest('sha256')[7:]}. {{repair}}",
            id="other bytes",
        ),
    ],
)
def test_what_no_other_try_would_change_is_asked_for_once(tmp_path: Path, fault: MissingObject, message: str) -> None:
    server = BadServer({NAME: CONTENT}, fault)
    with server.running() as address:
        received = failure(Asset(NAME, len(CONTENT), digest("sha256")), address, tmp_path)
    advice = "Check the address under `source` in params.yaml."
    assert received == f"{address}/{NAME} {message.format(advice=advice, repair=REPAIR)}"
    assert server.ranges == [None]


BUSY = "The server is busy or broken; run it again later."


@pytest.mark.parametrize(
    ("fault", "ranges", "message"),
    [
        (MissingObject(status=503, body=b""), [None] * 3, f"answered 503 Service Unavailable (3 tries). {BUSY}"),
        (MissingObject(status=429, body=b""), [None] * 3, f"answered 429 Too Many Requests (3 tries). {BUSY}"),
        (MissingObject(status=599, body=b""), [None] * 3, f"answered 599 (3 tries). {BUSY}"),
        (MissingObject(cut=0), [None] * 3, f"broke off after 0 of 300000 bytes (3 tries). {NETWORK}"),
        (
            CUT,
            [None, FROM_CUT, "bytes=140000-"],
            f"broke off after 210000 of 300000 bytes (3 tries). {NETWORK}",
        ),
        (
            MissingObject(status=206, headers={"Content-Range": "bytes 3-9/300000"}),
            [None] * 3,
            f"answered another part than from byte 0 on (3 tries). {NETWORK}",
        ),
    ],
)
def test_tries_come_to_an_end(tmp_path: Path, fault: MissingObject, ranges: list[str | None], message: str) -> None:
    server = BadServer({NAME: CONTENT})
    server.good = fault
    with server.running() as address:
        assert failure(Asset(NAME), address, tmp_path) == f"{address}/{NAME} {message}"
    assert server.ranges == ranges


def test_redirects_come_to_an_end(tmp_path: Path) -> None:
    server = BadServer({NAME: CONTENT})
    server.good = MissingObject(status=302, headers={"Location": f"/{NAME}"}, body=b"")
    with server.running() as address:
        assert failure(Asset(NAME), address, tmp_path) == (
            f"{address}/{NAME} could not be read: Exceeded 30 redirects. "
            "Check the address under `source` in params.yaml."
        )
    assert len(server.requests) == 31


def test_the_body_of_a_redirect_is_not_read(tmp_path: Path) -> None:
    endless = MissingObject(status=302, headers={"Location": f"/{NAME}"}, body=bytes(50_000_000))
    server = BadServer({NAME: CONTENT}, endless)
    with server.running() as address:
        assert download_file(Asset(NAME), address, tmp_path, QUICK).read_bytes() == CONTENT
    assert server.sent_bytes < 10_000_000


def test_progress_makes_up_for_failures(tmp_path: Path) -> None:
    """Cut every 30,000 bytes: ten answers, although only two failures in a row are borne."""
    patience = RetryPolicy(tries=2, progress_bytes=30_000, first_pause_seconds=0.001)
    server = BadServer({NAME: CONTENT})
    server.good = MissingObject(cut=30_000)
    with server.running() as address:
        assert download_file(Asset(NAME), address, tmp_path / "a", patience).read_bytes() == CONTENT
        assert len(server.ranges) == 10
        server.good = MissingObject(cut=14_000)
        assert failure(Asset(NAME), address, tmp_path / "b", patience) == (
            f"{address}/{NAME} broke off after 28000 of 300000 bytes (2 tries). {NETWORK}"
        )


def test_bytes_that_come_again_are_no_progress(tmp_path: Path) -> None:
    patience = RetryPolicy(tries=2, progress_bytes=30_000, first_pause_seconds=0.001)
    server = BadServer({NAME: CONTENT})
    server.good = MissingObject(cut=40_000, ignores_range=True)
    with server.running() as address:
        failure(Asset(NAME), address, tmp_path, patience)
    assert server.ranges == [None, "bytes=40000-"]


class Long:
    """An origin whose file is very long. Somebody says stop after its third chunk."""

    shown = "long"

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def look(self) -> FileVersion:
        return FileVersion(None, None)

    @contextlib.contextmanager
    def open(self, offset: int, validator: str | None) -> Iterator[ByteStream]:
        yield ByteStream(self.look(), 0, self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        for number in range(1, 1000):
            if number == 4:
                self._stop.set()
            yield b"five!"


def test_a_transfer_ends_when_it_is_told_to_and_keeps_what_came(tmp_path: Path) -> None:
    stop, part = threading.Event(), PartialFile(tmp_path / "part")
    with pytest.raises(CancelledError):
        receive(Long(stop), part, QUICK, stop)
    assert part.path.read_bytes() == b"five!" * 3


def test_pieces_that_do_not_fit_are_fetched_anew_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wrong_rest = MissingObject(body=bytes(230_000))
    server = BadServer({NAME: CONTENT}, CUT, wrong_rest, CUT, wrong_rest)
    with server.running() as address, caplog.at_level("INFO"):
        message = failure(Asset(NAME, len(CONTENT), digest("md5")), address, tmp_path)
    wrong = hashlib.md5(CONTENT[:70_000] + bytes(230_000)).hexdigest()
    assert message == f"{address}/{NAME} has md5 {wrong}, expected {digest('md5')[4:]}. {REPAIR}"
    assert server.ranges == [None, FROM_CUT] * 2
    assert [line for line in caplog.messages if "try" not in line] == [
        f"{address}/{NAME} came in pieces that do not fit together; starting over"
    ]


def test_each_further_try_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = BadServer({NAME: CONTENT}, CUT, MissingObject(status=503, body=b""))
    with server.running() as address, caplog.at_level("INFO"):
        download_file(Asset(NAME), address, tmp_path, QUICK)
    assert caplog.messages == [
        f"{address}/{NAME} broke off after 70000 of 300000 bytes; try 2 of 3 in 0.0 s",
        f"{address}/{NAME} answered 503 Service Unavailable; try 3 of 3 in 0.0 s",
    ]


def test_what_is_secret_in_an_address_is_sent_and_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    faults = [CUT, MissingObject(status=503, body=b"", headers={"no header": "x"}), MissingObject(status=404, body=b"")]
    server = BadServer({f"mirror/{NAME}": CONTENT}, *faults)
    with server.running() as address, caplog.at_level("INFO"):
        host = address.removeprefix("http://")
        message = failure(Asset(NAME), f"http://me:pass%2Fword@{host}/mirror/?token=abc#part", tmp_path)
    assert (
        message == f"{address}/mirror/{NAME} answered 404 Not Found. Check the address under `source` in params.yaml."
    )
    assert {headers["Authorization"] for headers in server.received_headers} == {"Basic bWU6cGFzcy93b3Jk"}
    assert server.targets == [f"/mirror/{NAME}?token=abc"] * 3
    assert caplog.messages == [
        f"{address}/mirror/{NAME} broke off after 70000 of 300000 bytes; try 2 of 3 in 0.0 s",
        f"{address}/mirror/{NAME} answered 503 Service Unavailable; try 3 of 3 in 0.0 s",
    ]


@pytest.mark.parametrize("root", ["http://me:pass/word@host/mirror", "https://[half/mirror?token=abc"])
def test_an_address_whose_secrets_nobody_can_tell_apart_is_not_shown(tmp_path: Path, root: str) -> None:
    assert failure(Asset(NAME), root, tmp_path) == (
        f"The address that begins with {root.partition(':')[0]}:// cannot be read. "
        "Write special characters in a user's name or password by their codes, such as %2F for a slash."
    )


def test_an_address_without_a_host_shows_no_secrets(tmp_path: Path) -> None:
    assert failure(Asset(NAME), "http://me:word@/mirror?token=abc", tmp_path) == (
        f"http:///mirror/{NAME} could not be read: Invalid URL 'http:///mirror/{NAME}': No host supplied. "
        "Check the address under `source` in params.yaml."
    )


def test_a_disk_that_takes_no_more(tmp_path: Path, most_file_bytes: int) -> None:
    with BadServer({NAME: CONTENT}).running() as address:
        message = failure(Asset(NAME), address, tmp_path)
    assert message == (
        f"{tmp_path}/sub/.good.partial.bin could not be written after {most_file_bytes} bytes: File too large. "
        "Make room or grant access, then run it again."
    )
