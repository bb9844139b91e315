"""Rows of two tables that belong together, found by what they have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Rows = NDArray[np.int64]
"""Row numbers, int64 [N]."""

MAX_CODE = 2**62  # int64 ends at 2**63

Column: TypeAlias = "pa.Array | pa.ChunkedArray | NDArray[Any]"


@dataclass(frozen=True)
class Changes:
    """Rows of both versions side by side, and what happened to each.

    before, after: row numbers, int64 [N]; -1 where a version has no such row. Pairs come first, then what went, then
        what came.
    kinds: bool [N] per kind of change; a row may have several.
    """

    before: Rows
    after: Rows
    kinds: Mapping[str, NDArray[np.bool_]]

    def __len__(self) -> int:
        return len(self.before)

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Where anything happened, bool [N]."""
        return np.any([np.zeros(len(self), bool), *self.kinds.values()], axis=0)

    def counts(self) -> dict[str, int]:
        """How often each kind occurs."""
        return {kind: int(where.sum()) for kind, where in self.kinds.items()}

    def places(self) -> tuple[Rows, Rows]:
        """Where each row before and each row after stands in this list, int64 [rows before] and [rows after]."""
        return _inverted(self.before), _inverted(self.after)

    def differing(self, before: Column, after: Column) -> NDArray[np.bool_]:
        """Where the two rows of a pair differ in a column, bool [N]; not where one of them is null."""
        differ = pc.not_equal(_taken(before, self.before), _taken(after, self.after))
        return pc.fill_null(differ, False).to_numpy(zero_copy_only=False)


class Matching:
    """Pairs of rows, collected pass by pass: a row that has found its partner is not asked again."""

    def __init__(self, rows_before: int, rows_after: int) -> None:
        self._free_before = np.ones(rows_before, bool)
        self._free_after = np.ones(rows_after, bool)
        self._pairs: list[tuple[Rows, Rows]] = []

    def free(self) -> tuple[Rows, Rows]:
        """The rows before and the rows after that have no partner yet."""
        return np.flatnonzero(self._free_before), np.flatnonzero(self._free_after)

    def pair(self, before: Rows, after: Rows) -> None:
        """Pair row before[i] with row after[i]; all of them free, none twice."""
        self._free_before[before] = False
        self._free_after[after] = False
        self._pairs.append((before, after))

    def pair_equal(self, before: Sequence[Column], after: Sequence[Column]) -> None:
        """Pair free rows that agree in all columns, the first with the first, the second with the second, ...

        A row with a null in one of them agrees with none.
        """
        free_before, free_after = self.free()
        codes_before, codes_after = codes(
            [_flat(column).take(free_before) for column in before], [_flat(column).take(free_after) for column in after]
        )
        turns_before, turns_after = _turns(codes_before), _turns(codes_after)
        turns = 1 + max(turns_before.max(initial=0), turns_after.max(initial=0))
        known_before, known_after = np.flatnonzero(codes_before >= 0), np.flatnonzero(codes_after >= 0)
        _, found_before, found_after = np.intersect1d(
            (codes_before * turns + turns_before)[known_before],
            (codes_after * turns + turns_after)[known_after],
            assume_unique=True,
            return_indices=True,
        )
        self.pair(free_before[known_before[found_before]], free_after[known_after[found_after]])

    def result(self) -> Changes:
        """All rows: pairs in the order of the rows before, and the kinds "came" and "went"."""
        before, after = (np.concatenate(rows) for rows in zip(*self._pairs, strict=True))
        order = np.argsort(before)
        went, came = self.free()
        rows_before = np.concatenate([before[order], went, np.full(len(came), -1)])
        rows_after = np.concatenate([after[order], np.full(len(went), -1), came])
        return Changes(rows_before, rows_after, {"came": rows_before < 0, "went": rows_after < 0})


def codes(before: Sequence[Column], after: Sequence[Column]) -> tuple[Rows, Rows]:
    """One whole number per row, the same on both sides where all columns are the same; -1 where one is null.

    >>> [side.tolist() for side in codes([["a", "b"], [1, 1]], [["b", None, "a"], [1, 1, 2]])]
    [[0, 2], [2, -1, 1]]
    """
    columns = [_encoded(pa.concat_arrays([_flat(one), _flat(other)])) for one, other in zip(before, after, strict=True)]
    together, size = columns[0], 1 + int(columns[0].max(initial=0))
    for column in columns[1:]:
        more = 1 + int(column.max(initial=0))
        if size * more > MAX_CODE:  # numbered anew, from 0 without gaps
            together = _encoded(pa.array(together))
            size = 1 + int(together.max(initial=0))
        together, size = together * more + column, size * more
    together = np.where(np.all([column >= 0 for column in columns], axis=0), together, -1)
    count = len(before[0])
    return together[:count], together[count:]


def _flat(column: Column) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks()
    return column if isinstance(column, pa.Array) else pa.array(column)


def _taken(column: Column, rows: Rows) -> pa.Array:
    """Those rows; null for -1."""
    return _flat(column).take(pa.array(rows, mask=rows < 0))


def _encoded(column: pa.Array) -> Rows:
    """Numbers from 0 in order of first appearance; -1 for null."""
    indices = pc.dictionary_encode(column).indices.cast(pa.int64())
    return (indices.fill_null(-1) if indices.null_count else indices).to_numpy()


def _turns(keys: Rows) -> Rows:
    """How often the same key came before, int64 [N].

    >>> _turns(np.array([7, 3, 7, 7, 3])).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    turns = np.empty(len(keys), np.int64)
    turns[order] = np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))
    return turns


def _inverted(rows: Rows) -> Rows:
    present = np.flatnonzero(rows >= 0)
    places = np.empty(len(present), np.int64)
    places[rows[present]] = present
    return places
