import contextlib
import hashlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import BoxlineError
from pipeline.core.thread_pool import CancelledError
from pipeline.download.manifest import Asset
from pipeline.download.partial_file import PartialFile
from pipeline.download.retry import RetryPolicy
from pipeline.download.sources.base import ByteStream, FileSource, FileVersion
from pipeline.download.transfer import download_file, stream_file
from tests.support.servers import Fault, FaultyServer, chunked, etag, gzipped

CONTENT = random.Random(2017).randbytes(300_000)  # more than one chunk
OTHER = random.Random(2018).randbytes(200_000)
NAME = "sub/good.bin"
MISMATCH = (
    "The publisher changed the file, or the download is corrupt: run the command again, or set `source` to a mirror."
)
NETWORK = "Check the network, then run the command again."
QUICK = RetryPolicy(max_attempts=3, initial_backoff_seconds=0.001, max_backoff_seconds=0.01)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "good.bin").write_bytes(CONTENT)
    return folder


def digest(name: str) -> str:
    return f"{name}:{hashlib.new(name, CONTENT).hexdigest()}"


@pytest.mark.parametrize("name", ["md5", "sha256"])
def test_download_from_folder_and_server(mirror: Path, tmp_path: Path, name: str) -> None:
    asset = Asset(NAME, len(CONTENT), digest(name))
    with FaultyServer({NAME: CONTENT}).running() as server:
        for number, root in enumerate((str(mirror), f"{mirror}/", server, f"{server}/")):
            assert download_file(asset, root, tmp_path / str(number)).read_bytes() == CONTENT


def test_empty_file_is_downloaded(tmp_path: Path) -> None:
    with FaultyServer({NAME: b""}).running() as server:
        assert download_file(Asset(NAME, 0), server, tmp_path, QUICK).read_bytes() == b""


def failure(asset: Asset, root: str, folder: Path, retry_policy: RetryPolicy = QUICK) -> str:
    with pytest.raises(BoxlineError) as raised:
        download_file(asset, root, folder, retry_policy)
    assert [path for path in folder.rglob("*") if path.is_file()] == [], "an incomplete file was left behind"
    return str(raised.value)


def test_checksum_mismatch_is_an_error(mirror: Path, tmp_path: Path) -> None:
    wrong = "md5:" + "0" * 32
    assert failure(Asset(NAME, None, wrong), str(mirror), tmp_path / "out") == (
        f"{mirror}/sub/good.bin has md5 {digest('md5')[4:]}, expected {'0' * 32}. {MISMATCH}"
    )


def test_size_mismatch_is_an_error(mirror: Path, tmp_path: Path) -> None:
    assert failure(Asset(NAME, 17), str(mirror), tmp_path / "out") == (
        f"{mirror}/sub/good.bin has {len(CONTENT)} bytes, expected 17. {MISMATCH}"
    )


def test_missing_source_folder_is_an_error(tmp_path: Path) -> None:
    assert failure(Asset("zips/val2017.zip"), f"{tmp_path}/nowhere", tmp_path / "out") == (
        f"{tmp_path}/nowhere/zips/val2017.zip not found. "
        "A folder given as `source` in params.yaml must have the layout of the upstream."
    )


def test_folder_in_place_of_file_is_an_error(mirror: Path, tmp_path: Path) -> None:
    assert failure(Asset("sub"), str(mirror), tmp_path / "out") == f"{mirror}/sub could not be read: Is a directory."


def test_named_pipe_in_place_of_file_is_an_error(mirror: Path, tmp_path: Path) -> None:
    os.mkfifo(mirror / "pipe")  # reading it would block forever
    assert failure(Asset("pipe"), str(mirror), tmp_path / "out") == (
        f"{mirror}/pipe is not a regular file. Replace it with the file itself."
    )


@pytest.mark.parametrize("root", ["file:///etc", "FTP://host/pub", "gs://bucket/a?key=secret"])
def test_unsupported_scheme_is_an_error(tmp_path: Path, root: str) -> None:
    redacted_url = root.partition("?")[0].replace("FTP", "ftp")
    assert failure(Asset("good.bin"), root, tmp_path / "out") == (
        f"{redacted_url} cannot be read: `source` in params.yaml must be a folder, or an http(s):// or s3:// URL."
    )


def test_refused_connection_is_an_error_after_retries(tmp_path: Path) -> None:
    assert failure(Asset("good.bin"), "http://127.0.0.1:9", tmp_path / "out") == (
        f"http://127.0.0.1:9/good.bin could not be read: [Errno 111] Connection refused (3 attempts). {NETWORK}"
    )


CUT = Fault(cut=70_000)
FROM_CUT = "bytes=70000-"
TAIL = CONTENT[70_000:]


@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        pytest.param([], [None], id="no fault"),
        pytest.param([CUT], [None, FROM_CUT], id="cut"),
        pytest.param([CUT, Fault(cut=30_000)], [None, FROM_CUT, "bytes=100000-"], id="cut twice"),
        pytest.param([CUT, Fault(ignores_range=True)], [None, FROM_CUT], id="ranges not supported"),
        pytest.param([CUT, Fault(shift=5)], [None, FROM_CUT, None], id="another range"),
        pytest.param(
            [CUT, Fault(shift=5, headers={"Content-Length": None})],
            [None, FROM_CUT, None],
            id="another range, no length",
        ),
        pytest.param([CUT, Fault(body=b"short")], [None, FROM_CUT, None], id="range shorter than announced"),
        pytest.param([CUT, Fault(headers={"Content-Range": None})], [None, FROM_CUT, None], id="no Content-Range"),
        pytest.param(
            [CUT, Fault(headers={"Content-Range": "bytes x"})], [None, FROM_CUT, None], id="malformed Content-Range"
        ),
        pytest.param([CUT, Fault(status=416, body=b"")], [None, FROM_CUT, None], id="416"),
        pytest.param([CUT, Fault(headers={"ETag": '"b"'})], [None, FROM_CUT, None], id="range of another version"),
        pytest.param(
            [CUT, Fault(headers={"Content-Range": "bytes 70000-299998/299999"})],
            [None, FROM_CUT, None],
            id="range of another size",
        ),
        pytest.param([CUT, Fault(body=bytes(230_000))], [None, FROM_CUT, None], id="other bytes in the second part"),
        pytest.param([Fault(headers={"ETag": None}, cut=70_000)], [None, None], id="cut without a validator"),
        pytest.param([Fault(headers={"ETag": 'W/"a"'}, cut=70_000)], [None, None], id="cut with a weak validator"),
        *(
            pytest.param([Fault(status=status, body=b"")], [None, None], id=str(status))
            for status in (408, 429, 500, 502, 503, 504)
        ),
        pytest.param([Fault(status=503, headers={"Retry-After": "7200"})] * 2, [None] * 3, id="long Retry-After"),
        pytest.param([Fault(status=429, headers={"Retry-After": "soon; 9²"})], [None] * 2, id="malformed Retry-After"),
        *(
            pytest.param([Fault(headers={"Content-Length": length})], [None], id=f"length {length[:5]}")
            for length in ("abc", "-5", "", "1e5", "9" * 5000)
        ),
        pytest.param([Fault(headers={"Content-Length": "9" * 30})], [None, "bytes=300000-", None], id="a huge length"),
        pytest.param([chunked(CONTENT)], [None], id="chunked"),
        pytest.param([gzipped(CONTENT)], [None], id="encoded"),
    ],
)
def test_download_succeeds_despite_transient_faults(
    tmp_path: Path, faults: list[Fault], ranges: list[str | None]
) -> None:
    server = FaultyServer({NAME: CONTENT}, *faults)
    with server.running() as address:
        path = download_file(Asset(NAME, len(CONTENT), digest("sha256")), address, tmp_path, QUICK)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ranges
    assert {headers["Accept-Encoding"] for headers in server.received_headers} == {"identity"}
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["good.bin"]


def test_file_changed_between_attempts_is_downloaded_from_the_start(tmp_path: Path) -> None:
    server = FaultyServer({NAME: CONTENT}, CUT, Fault(new_content=OTHER))
    with server.running() as address:
        assert download_file(Asset(NAME), address, tmp_path, QUICK).read_bytes() == OTHER
    assert server.ranges == [None, FROM_CUT]  # If-Range makes the second response the complete new file
    assert server.received_headers[1]["If-Range"] == etag(CONTENT)


def test_too_long_content_length_restarts_the_download(tmp_path: Path) -> None:
    server = FaultyServer({NAME: CONTENT}, Fault(headers={"Content-Length": "300100"}))
    with server.running() as address:
        assert download_file(Asset(NAME), address, tmp_path, QUICK).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", None]


def test_size_announced_by_a_later_response_is_used(tmp_path: Path) -> None:
    server = FaultyServer({NAME: CONTENT}, chunked(CONTENT, cut=50_000), Fault(cut=0))
    with server.running() as address:
        assert download_file(Asset(NAME), address, tmp_path, QUICK).read_bytes() == CONTENT
    assert len(server.ranges) == 3


def test_connection_reset_is_retried(tmp_path: Path) -> None:
    server = FaultyServer({NAME: CONTENT}, Fault(reset=70_000), Fault(reset=0))
    with server.running() as address:
        assert download_file(Asset(NAME), address, tmp_path, QUICK).read_bytes() == CONTENT
    assert len(server.ranges) == 3


def test_read_timeout_is_retried_from_the_last_byte(tmp_path: Path) -> None:
    server = FaultyServer({NAME: CONTENT}, Fault(stall=70_000))
    with server.running() as address:
        path = download_file(
            Asset(NAME), address, tmp_path, RetryPolicy(read_timeout_seconds=0.5, initial_backoff_seconds=0.001)
        )
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, FROM_CUT]


@pytest.mark.parametrize("location", ["/moved/good.bin", "http://localhost:{port}/moved/good.bin"])
def test_redirect_is_followed_on_every_attempt(tmp_path: Path, location: str) -> None:
    server = FaultyServer({NAME: b"not this one", "moved/good.bin": CONTENT})
    with server.running() as address:
        target = location.format(port=address.rpartition(":")[2])
        redirect = Fault(status=302, headers={"Location": target}, body=b"")
        server.faults = [redirect, CUT, redirect]
        assert download_file(Asset(NAME), address, tmp_path, QUICK).read_bytes() == CONTENT
    requested = [(path, requested_range) for _, path, requested_range in server.requests]
    assert requested == [(NAME, None), ("moved/good.bin", None), (NAME, FROM_CUT), ("moved/good.bin", FROM_CUT)]


PAGE = b"\xef\xbb\xbf\n <!DOCTYPE html><title>Sign in</title>"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        *(
            pytest.param(Fault(status=status, body=b"no"), f"returned {status} {reason}. {{advice}}", id=str(status))
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
        pytest.param(Fault(headers={"Content-Type": "Text/HTML; charset=x"}), "is a web page, not a file. {advice}"),
        pytest.param(
            Fault(body=PAGE.ljust(300_000)), "is a web page, not a file. {advice}", id="page by its first bytes"
        ),
        pytest.param(
            Fault(status=302, headers={"Location": "file:///etc/passwd?key=secret"}, body=b""),
            "could not be read: No connection adapters were found for 'file:///etc/passwd'. {advice}",
            id="redirect to a file",
        ),
        pytest.param(Fault(headers={"Content-Length": "299900"}), "has 299900 bytes, expected 300000. {mismatch}"),
        pytest.param(Fault(body=CONTENT[:-1]), "has 299999 bytes, expected 300000. {mismatch}", id="too short"),
        pytest.param(chunked(CONTENT[:-1]), "has 299999 bytes, expected 300000. {mismatch}", id="chunked, too short"),
        pytest.param(
            chunked(CONTENT + b"more"),
            "sent more than the 300000 bytes allowed.",
            id="chunked, too long",
        ),
        pytest.param(
            Fault(body=bytes(300_000)),
            f"has sha256 {hashlib.sha256(bytes(300_000)).hexdigest()}, expected {digest('sha256')[7:]}. {{mismatch}}",
            id="other bytes",
        ),
    ],
)
def test_permanent_failure_is_not_retried(tmp_path: Path, fault: Fault, message: str) -> None:
    server = FaultyServer({NAME: CONTENT}, fault)
    with server.running() as address:
        received = failure(Asset(NAME, len(CONTENT), digest("sha256")), address, tmp_path)
    advice = "Check the address in `source` of params.yaml."
    assert received == f"{address}/{NAME} {message.format(advice=advice, mismatch=MISMATCH)}"
    assert server.ranges == [None]


BUSY = "The server is busy or failing; run the command again later."


@pytest.mark.parametrize(
    ("fault", "ranges", "message"),
    [
        (Fault(status=503, body=b""), [None] * 3, f"returned 503 Service Unavailable (3 attempts). {BUSY}"),
        (Fault(status=429, body=b""), [None] * 3, f"returned 429 Too Many Requests (3 attempts). {BUSY}"),
        (Fault(status=599, body=b""), [None] * 3, f"returned 599 (3 attempts). {BUSY}"),
        (Fault(cut=0), [None] * 3, f"was interrupted after 0 of 300000 bytes (3 attempts). {NETWORK}"),
        (
            CUT,
            [None, FROM_CUT, "bytes=140000-"],
            f"was interrupted after 210000 of 300000 bytes (3 attempts). {NETWORK}",
        ),
        (
            Fault(status=206, headers={"Content-Range": "bytes 3-9/300000"}),
            [None] * 3,
            f"returned another range than bytes 0- as requested (3 attempts). {NETWORK}",
        ),
    ],
)
def test_retries_end_after_max_attempts(tmp_path: Path, fault: Fault, ranges: list[str | None], message: str) -> None:
    server = FaultyServer({NAME: CONTENT})
    server.default_fault = fault
    with server.running() as address:
        assert failure(Asset(NAME), address, tmp_path) == f"{address}/{NAME} {message}"
    assert server.ranges == ranges


def test_endless_redirects_are_an_error(tmp_path: Path) -> None:
    server = FaultyServer({NAME: CONTENT})
    server.default_fault = Fault(status=302, headers={"Location": f"/{NAME}"}, body=b"")
    with server.running() as address:
        assert failure(Asset(NAME), address, tmp_path) == (
            f"{address}/{NAME} could not be read: Exceeded 30 redirects. Check the address in `source` of params.yaml."
        )
    assert len(server.requests) == 31


def test_body_of_redirect_is_not_read(tmp_path: Path) -> None:
    endless = Fault(status=302, headers={"Location": f"/{NAME}"}, body=bytes(50_000_000))
    server = FaultyServer({NAME: CONTENT}, endless)
    with server.running() as address:
        assert download_file(Asset(NAME), address, tmp_path, QUICK).read_bytes() == CONTENT
    assert server.sent_bytes < 10_000_000


def test_progress_resets_the_count_of_failures(tmp_path: Path) -> None:
    """A cut every 30,000 bytes takes ten responses, although only two attempts in a row are allowed."""
    retry_policy = RetryPolicy(max_attempts=2, progress_bytes=30_000, initial_backoff_seconds=0.001)
    server = FaultyServer({NAME: CONTENT})
    server.default_fault = Fault(cut=30_000)
    with server.running() as address:
        assert download_file(Asset(NAME), address, tmp_path / "a", retry_policy).read_bytes() == CONTENT
        assert len(server.ranges) == 10
        server.default_fault = Fault(cut=14_000)
        assert failure(Asset(NAME), address, tmp_path / "b", retry_policy) == (
            f"{address}/{NAME} was interrupted after 28000 of 300000 bytes (2 attempts). {NETWORK}"
        )


def test_bytes_received_again_are_no_progress(tmp_path: Path) -> None:
    retry_policy = RetryPolicy(max_attempts=2, progress_bytes=30_000, initial_backoff_seconds=0.001)
    server = FaultyServer({NAME: CONTENT})
    server.default_fault = Fault(cut=40_000, ignores_range=True)
    with server.running() as address:
        failure(Asset(NAME), address, tmp_path, retry_policy)
    assert server.ranges == [None, "bytes=40000-"]


class LongSource(FileSource):
    """A source whose file is very long. The stop event is set after the third chunk."""

    display_name = "long"

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def stat(self) -> FileVersion:
        return FileVersion(None, None)

    @contextlib.contextmanager
    def open(self, offset: int, validator: str | None) -> Iterator[ByteStream]:
        yield ByteStream(self.stat(), 0, self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        for number in range(1, 1000):
            if number == 4:
                self._stop.set()
            yield b"five!"


def test_canceled_transfer_keeps_received_bytes(tmp_path: Path) -> None:
    stop, partial_file = threading.Event(), PartialFile(tmp_path / "partial")
    with pytest.raises(CancelledError):
        stream_file(LongSource(stop), partial_file, QUICK, stop)
    assert partial_file.path.read_bytes() == b"five!" * 3


def test_file_assembled_from_mismatching_parts_is_downloaded_once_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong_end = Fault(body=bytes(230_000))
    server = FaultyServer({NAME: CONTENT}, CUT, wrong_end, CUT, wrong_end)
    with server.running() as address, caplog.at_level("INFO"):
        message = failure(Asset(NAME, len(CONTENT), digest("md5")), address, tmp_path)
    wrong = hashlib.md5(CONTENT[:70_000] + bytes(230_000)).hexdigest()
    assert message == f"{address}/{NAME} has md5 {wrong}, expected {digest('md5')[4:]}. {MISMATCH}"
    assert server.ranges == [None, FROM_CUT] * 2
    assert [line for line in caplog.messages if "attempt" not in line] == [
        f"{address}/{NAME}: the parts of the file do not fit together; downloading it again"
    ]


def test_each_retry_logs_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = FaultyServer({NAME: CONTENT}, CUT, Fault(status=503, body=b""))
    with server.running() as address, caplog.at_level("INFO"):
        download_file(Asset(NAME), address, tmp_path, QUICK)
    assert caplog.messages == [
        f"{address}/{NAME} was interrupted after 70000 of 300000 bytes; attempt 2 of 3 in 0.0 s",
        f"{address}/{NAME} returned 503 Service Unavailable; attempt 3 of 3 in 0.0 s",
    ]


def test_secrets_in_url_are_sent_but_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    faults = [CUT, Fault(status=503, body=b"", headers={"no header": "x"}), Fault(status=404, body=b"")]
    server = FaultyServer({f"mirror/{NAME}": CONTENT}, *faults)
    with server.running() as address, caplog.at_level("INFO"):
        host = address.removeprefix("http://")
        message = failure(Asset(NAME), f"http://me:pass%2Fword@{host}/mirror/?token=abc#part", tmp_path)
    assert message == f"{address}/mirror/{NAME} returned 404 Not Found. Check the address in `source` of params.yaml."
    assert {headers["Authorization"] for headers in server.received_headers} == {"Basic bWU6cGFzcy93b3Jk"}
    assert server.targets == [f"/mirror/{NAME}?token=abc"] * 3
    assert caplog.messages == [
        f"{address}/mirror/{NAME} was interrupted after 70000 of 300000 bytes; attempt 2 of 3 in 0.0 s",
        f"{address}/mirror/{NAME} returned 503 Service Unavailable; attempt 3 of 3 in 0.0 s",
    ]


@pytest.mark.parametrize("root", ["http://me:pass/word@host/mirror", "https://[half/mirror?token=abc"])
def test_url_that_cannot_be_parsed_is_not_shown(tmp_path: Path, root: str) -> None:
    assert failure(Asset(NAME), root, tmp_path) == (
        f"The address that begins with {root.partition(':')[0]}:// cannot be read. "
        "Correct its port, or percent-encode special characters of user name and password, such as %2F for a slash."
    )


def test_url_without_host_shows_no_secrets(tmp_path: Path) -> None:
    assert failure(Asset(NAME), "http://me:word@/mirror?token=abc", tmp_path) == (
        f"http:///mirror/{NAME} could not be read: Invalid URL 'http:///mirror/{NAME}': No host supplied. "
        "Check the address in `source` of params.yaml."
    )


def test_full_disk_is_an_error(tmp_path: Path, most_file_bytes: int) -> None:
    with FaultyServer({NAME: CONTENT}).running() as address:
        message = failure(Asset(NAME), address, tmp_path)
    assert message == (
        f"{tmp_path}/sub/.good.partial.bin could not be written after {most_file_bytes} bytes: File too large. "
        "Free disk space or grant write access, then run the command again."
    )
