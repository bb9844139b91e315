"""With any sequence of server faults a download ends with the correct bytes or an error, never with a wrong file."""

import hashlib
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import BoxlineError
from pipeline.download.manifest import Asset
from pipeline.download.retry import RetryPolicy
from pipeline.download.sources.resolve import resolve_sources
from pipeline.download.sync import exclusive_lock, install, sync_files
from pipeline.download.transfer import download_file
from tests.support.servers import Fault, FaultyServer, chunked, gzipped

CONTENT = random.Random(2017).randbytes(300)
NEW_CONTENT = random.Random(2018).randbytes(250)
pytestmark = pytest.mark.slow

RETRY_POLICY = RetryPolicy(
    max_attempts=4, progress_bytes=100, initial_backoff_seconds=0.0001, max_backoff_seconds=0.0005
)

places = st.integers(0, len(CONTENT))
cuts = st.none() | places
odd_headers = st.sampled_from(["ETag", "Last-Modified", "Content-Range", "Retry-After", "Accept-Ranges"])
odd_values = st.sampled_from([None, "", '""', 'W/"a"', "bytes */7", "bytes 0-1/9", "bytes 0-299/*", "-1", "9" * 5000])
odd_lengths = st.sampled_from(["", "abc", "-5", "1e3", "9" * 30, "9" * 5000])


def with_header(name: str, value: str | None, cut: int | None) -> Fault:
    return Fault(headers={name: value}, cut=cut)


def with_length(difference: int) -> Fault:
    return Fault(headers={"Content-Length": str(len(CONTENT) + difference)})


detectable = st.one_of(  # faults that a client can detect without knowing the file
    st.builds(Fault),
    st.builds(Fault, cut=places, ignores_range=st.booleans()),
    st.builds(Fault, reset=places),
    st.builds(Fault, shift=st.integers(0, 50), cut=cuts),
    st.builds(Fault, status=st.sampled_from([206, 301, 403, 404, 408, 416, 429, 500, 503]), cut=cuts),
    st.builds(Fault, new_content=st.sampled_from([CONTENT, NEW_CONTENT]), cut=cuts),
    st.builds(with_header, odd_headers, odd_values, cuts),
    st.builds(with_length, st.integers(1, 99)),
    st.builds(chunked, st.just(CONTENT), cuts),
    st.just(Fault(body=b"<html>Sign in</html>", ignores_range=True)),
    st.just(Fault(headers={"Content-Type": "text/html"})),
)
undetectable = st.one_of(  # faults that only the checksum of the publisher reveals
    st.builds(Fault, body=st.binary(max_size=99)),
    st.builds(lambda zeros: Fault(body=bytes(zeros) + CONTENT[zeros:]), places),
    st.builds(with_length, st.integers(-len(CONTENT), -1)),
    st.builds(with_header, st.just("Content-Length"), odd_lengths, cuts),
    st.builds(gzipped, st.just(CONTENT), cuts),
)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[FaultyServer, str]]:
    server = FaultyServer({})
    with server.running() as address:
        yield server, address


@settings(max_examples=300)
@given(faults=st.lists(detectable, max_size=6))
def test_file_without_checksum_is_one_complete_version_or_an_error(
    running: tuple[FaultyServer, str], faults: list[Fault]
) -> None:
    """The file equals one of the versions that the server had, from its first byte to its last."""
    server, address = running
    server.files, server.faults = {"a.bin": CONTENT}, list(faults)
    with tempfile.TemporaryDirectory() as folder:
        try:
            content = download_file(Asset("a.bin"), address, Path(folder), RETRY_POLICY).read_bytes()
        except BoxlineError:
            assert list(Path(folder).rglob("*")) == []
        else:
            assert content in (CONTENT, NEW_CONTENT)


@settings(max_examples=300)
@given(faults=st.lists(detectable | undetectable, max_size=6))
def test_file_with_checksum_is_complete_after_several_runs(
    running: tuple[FaultyServer, str], faults: list[Fault]
) -> None:
    """Each run resumes after the previous one and ends with an error or the file; the last run ends with the file."""
    server, address = running
    server.files, server.faults = {"a.bin": CONTENT}, list(faults)
    assets = [Asset("a.bin", None, f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")]
    with tempfile.TemporaryDirectory() as folder:
        partial_dir, out, report = (Path(folder) / name for name in ("partial", "out", "report.json"))
        while True:
            is_last = not server.faults
            if is_last:
                server.files["a.bin"] = CONTENT
            try:
                with exclusive_lock(partial_dir, "download"):
                    files = zip(assets, resolve_sources(address, assets, RETRY_POLICY), strict=True)
                    downloaded = sync_files(list(files), partial_dir, out, report, RETRY_POLICY)
                    install(downloaded, partial_dir, out, report)
                break
            except BoxlineError:
                assert not is_last
                assert not out.exists()
        assert [path.read_bytes() for path in out.iterdir()] == [CONTENT]
