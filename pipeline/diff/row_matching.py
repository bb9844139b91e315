"""Matching of the rows of two tables by equal columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Rows = NDArray[np.int64]
"""Row numbers, int64 [N]."""

MAX_CODE = 2**62  # codes stay below the maximum of int64, 2**63 - 1

Column: TypeAlias = "pa.Array | pa.ChunkedArray | NDArray[Any]"


@dataclass(frozen=True)
class Changes:
    """Matched rows of two versions, and the kinds of change of each.

    Attributes:
        before: row numbers of the first version, int64 [N]; -1 for added rows.
        after: row numbers of the second version, int64 [N]; -1 for removed rows. Pairs come first, then removed rows,
            then added rows.
        kinds: bool [N] per kind of change; a row may have several kinds.

    """

    before: Rows
    after: Rows
    kinds: Mapping[str, NDArray[np.bool_]]

    def __len__(self) -> int:
        return len(self.before)

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Return a mask of the rows with a change of any kind, bool [N]."""
        return np.any([np.zeros(len(self), bool), *self.kinds.values()], axis=0)

    def counts(self) -> dict[str, int]:
        """Return the number of rows per kind of change."""
        return {kind: int(mask.sum()) for kind, mask in self.kinds.items()}

    def indices(self) -> tuple[Rows, Rows]:
        """Return the index in this list of each row before and each row after, int64 [rows] each."""
        return _inverted(self.before), _inverted(self.after)

    def differing(self, before: Column, after: Column) -> NDArray[np.bool_]:
        """Return a mask of the pairs whose values in a column differ, bool [N]. A null differs from nothing."""
        differ = pc.not_equal(_take(before, self.before), _take(after, self.after))
        return pc.fill_null(differ, False).to_numpy(zero_copy_only=False)


class Matching:
    """One-to-one matching of rows, built in several passes. Each pass sees only rows that are still unmatched."""

    def __init__(self, rows_before: int, rows_after: int) -> None:
        self._unmatched_before = np.ones(rows_before, bool)
        self._unmatched_after = np.ones(rows_after, bool)
        self._pairs: list[tuple[Rows, Rows]] = []

    def unmatched(self) -> tuple[Rows, Rows]:
        """Return the unmatched rows before and after."""
        return np.flatnonzero(self._unmatched_before), np.flatnonzero(self._unmatched_after)

    def pair(self, before: Rows, after: Rows) -> None:
        """Match row before[i] with row after[i]; all rows must be unmatched and distinct."""
        self._unmatched_before[before] = False
        self._unmatched_after[after] = False
        self._pairs.append((before, after))

    def pair_equal(self, before: Sequence[Column], after: Sequence[Column]) -> None:
        """Match unmatched rows that are equal in all columns.

        If several rows are equal, the first is matched with the first, the second with the second, and so on. Rows
        with a null in one of the columns are not matched.
        """
        rows_before, rows_after = self.unmatched()
        codes_before, codes_after = row_codes(
            [_flat(column).take(rows_before) for column in before], [_flat(column).take(rows_after) for column in after]
        )
        occurrence_before, occurrence_after = _occurrence_index(codes_before), _occurrence_index(codes_after)
        base = 1 + max(occurrence_before.max(initial=0), occurrence_after.max(initial=0))
        valid_before, valid_after = np.flatnonzero(codes_before >= 0), np.flatnonzero(codes_after >= 0)
        _, common_before, common_after = np.intersect1d(
            (codes_before * base + occurrence_before)[valid_before],
            (codes_after * base + occurrence_after)[valid_after],
            assume_unique=True,
            return_indices=True,
        )
        self.pair(rows_before[valid_before[common_before]], rows_after[valid_after[common_after]])

    def result(self) -> Changes:
        """Return all rows with the kinds "added" and "removed"; pairs are in the order of the rows before."""
        before, after = (np.concatenate(rows) for rows in zip(*self._pairs, strict=True))
        order = np.argsort(before)
        removed, added = self.unmatched()
        rows_before = np.concatenate([before[order], removed, np.full(len(added), -1)])
        rows_after = np.concatenate([after[order], np.full(len(removed), -1), added])
        return Changes(rows_before, rows_after, {"added": rows_before < 0, "removed": rows_after < 0})


def row_codes(before: Sequence[Column], after: Sequence[Column]) -> tuple[Rows, Rows]:
    """Return one code per row that is equal for rows that are equal in all columns, and -1 for rows with a null.

    >>> [codes.tolist() for codes in row_codes([["a", "b"], [1, 1]], [["b", None, "a"], [1, 1, 2]])]
    [[0, 2], [2, -1, 1]]
    """
    columns = [_encoded(pa.concat_arrays([_flat(one), _flat(other)])) for one, other in zip(before, after, strict=True)]
    combined, size = columns[0], 1 + int(columns[0].max(initial=0))
    for column in columns[1:]:
        column_size = 1 + int(column.max(initial=0))
        if size * column_size > MAX_CODE:  # encode again, as consecutive numbers from 0
            combined = _encoded(pa.array(combined))
            size = 1 + int(combined.max(initial=0))
        combined, size = combined * column_size + column, size * column_size
    combined = np.where(np.all([column >= 0 for column in columns], axis=0), combined, -1)
    count = len(before[0])
    return combined[:count], combined[count:]


def _flat(column: Column) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks()
    return column if isinstance(column, pa.Array) else pa.array(column)


def _take(column: Column, rows: Rows) -> pa.Array:
    """Return the values of those rows; null for -1."""
    return _flat(column).take(pa.array(rows, mask=rows < 0))


def _encoded(column: pa.Array) -> Rows:
    """Return consecutive numbers from 0 in order of first appearance; -1 for null."""
    indices = pc.dictionary_encode(column).indices.cast(pa.int64())
    return (indices.fill_null(-1) if indices.null_count else indices).to_numpy()


def _occurrence_index(keys: Rows) -> Rows:
    """Return the number of earlier occurrences of each key, int64 [N], like pandas' `cumcount`.

    >>> _occurrence_index(np.array([7, 3, 7, 7, 3])).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    occurrence = np.empty(len(keys), np.int64)
    occurrence[order] = np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))
    return occurrence


def _inverted(rows: Rows) -> Rows:
    present = np.flatnonzero(rows >= 0)
    indices = np.empty(len(present), np.int64)
    indices[rows[present]] = present
    return indices
