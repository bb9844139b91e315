import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.archives.crc32c import PIECE_BYTES, SHORT_BYTES, crc32c
from tests.support import tfrecord_files


def test_published_values() -> None:
    """RFC 3720, B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"") == 0


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 8])
@given(st.binary(min_size=1, max_size=50), st.integers(-2, 2))
@example(b"\x00", 0)
def test_long_content_has_the_crc_of_its_definition(pieces: int, pattern: bytes, more: int) -> None:
    length = SHORT_BYTES + pieces * PIECE_BYTES + more
    content = (pattern * length)[:length]
    assert crc32c(content) == tfrecord_files.crc32c(content)
