"""Outlines as numbers, so that millions of them can be compared."""

from collections.abc import Iterator

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

CHUNK_ROWS = 1 << 16
"""Rows that are Python objects at the same time."""


def outline_numbers(outlines: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return a number per outline that is equal for equal outlines within this process, int64 [N]; 0 where is none.

    Spaces, the notation of whole numbers (1 or 1.0), and the order of keys make no difference.
    """
    return np.fromiter(_numbers(outlines), np.int64, len(outlines))


def _numbers(outlines: pa.ChunkedArray) -> Iterator[int]:
    for start in range(0, len(outlines), CHUNK_ROWS):
        compact = pc.replace_substring_regex(outlines.slice(start, CHUNK_ROWS), r"\s", "")
        compact = pc.replace_substring_regex(compact, r"\.0+([,\]}])", r"\1")
        for text in compact.to_pylist():
            yield 0 if text is None else hash(_with_sorted_keys(text) if text.startswith("{") else text)


def _with_sorted_keys(text: str) -> str:
    try:
        return msgspec.json.encode(msgspec.json.decode(text), order="sorted").decode()
    except (msgspec.DecodeError, RecursionError):
        return text
