"""Whatever servers do: in the end there are the right bytes or an error, and never a wrong file."""

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
from pipeline.download.sync import exclusive_lock, install, sync_files
from pipeline.download.transfer import download_file
from tests.support.servers import BadServer, MissingObject, chunked, gzipped

CONTENT = random.Random(2017).randbytes(300)
NEW_CONTENT = random.Random(2018).randbytes(250)
pytestmark = pytest.mark.slow

PATIENCE = RetryPolicy(tries=4, progress_bytes=100, first_pause_seconds=0.0001, longest_pause_seconds=0.0005)

places = st.integers(0, len(CONTENT))
cuts = st.none() | places
odd_headers = st.sampled_from(["ETag", "Last-Modified", "Content-Range", "Retry-After", "Accept-Ranges"])
odd_values = st.sampled_from([None, "", '""', 'W/"a"', "bytes */7", "bytes 0-1/9", "bytes 0-299/*", "-1", "9" * 5000])
odd_lengths = st.sampled_from(["", "abc", "-5", "1e3", "9" * 30, "9" * 5000])


def with_header(name: str, value: str | None, cut: int | None) -> MissingObject:
    return MissingObject(headers={name: value}, cut=cut)


def with_length(difference: int) -> MissingObject:
    return MissingObject(headers={"Content-Length": str(len(CONTENT) + difference)})


visible = st.one_of(  # what a client can find out without knowing the file
    st.builds(MissingObject),
    st.builds(MissingObject, cut=places, ignores_range=st.booleans()),
    st.builds(MissingObject, reset=places),
    st.builds(MissingObject, shift=st.integers(0, 50), cut=cuts),
    st.builds(MissingObject, status=st.sampled_from([206, 301, 403, 404, 408, 416, 429, 500, 503]), cut=cuts),
    st.builds(MissingObject, new_content=st.sampled_from([CONTENT, NEW_CONTENT]), cut=cuts),
    st.builds(with_header, odd_headers, odd_values, cuts),
    st.builds(with_length, st.integers(1, 99)),
    st.builds(chunked, st.just(CONTENT), cuts),
    st.just(MissingObject(body=b"<html>Sign in</html>", ignores_range=True)),
    st.just(MissingObject(headers={"Content-Type": "text/html"})),
)
hidden = st.one_of(  # what only the publisher's digest tells
    st.builds(MissingObject, body=st.binary(max_size=99)),
    st.builds(lambda zeros: MissingObject(body=bytes(zeros) + CONTENT[zeros:]), places),
    st.builds(with_length, st.integers(-len(CONTENT), -1)),
    st.builds(with_header, st.just("Content-Length"), odd_lengths, cuts),
    st.builds(gzipped, st.just(CONTENT), cuts),
)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[BadServer, str]]:
    server = BadServer({})
    with server.running() as address:
        yield server, address


@settings(max_examples=300)
@given(faults=st.lists(visible, max_size=6))
def test_a_file_of_which_nothing_is_known(running: tuple[BadServer, str], faults: list[MissingObject]) -> None:
    """It is one of the versions that the server had, from its first byte to its last."""
    server, address = running
    server.files, server.faults = {"a.bin": CONTENT}, list(faults)
    with tempfile.TemporaryDirectory() as folder:
        try:
            content = download_file(Asset("a.bin"), address, Path(folder), PATIENCE).read_bytes()
        except BoxlineError:
            assert list(Path(folder).rglob("*")) == []
        else:
            assert content in (CONTENT, NEW_CONTENT)


@settings(max_examples=300)
@given(faults=st.lists(visible | hidden, max_size=6))
def test_a_file_with_a_digest_over_many_runs(running: tuple[BadServer, str], faults: list[MissingObject]) -> None:
    """Each run goes on where the one before ended, with an error or the file; the last one ends with the file."""
    server, address = running
    server.files, server.faults = {"a.bin": CONTENT}, list(faults)
    assets = [Asset("a.bin", None, f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")]
    with tempfile.TemporaryDirectory() as folder:
        state, out, report = (Path(folder) / name for name in ("state", "out", "report.json"))
        while True:
            is_last = not server.faults
            if is_last:
                server.files["a.bin"] = CONTENT
            try:
                with exclusive_lock(state, "download"):
                    install(sync_files(assets, address, state, out, report, PATIENCE), state, out, report)
                break
            except BoxlineError:
                assert not is_last
                assert not out.exists()
        assert [path.read_bytes() for path in out.iterdir()] == [CONTENT]
