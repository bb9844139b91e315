"""Shards: arrays of many images as memory-mapped Arrow files with a bounded number of rows each.

A row is one image: its id and one tensor per column. All rows of a column have the same shape and dtype. A file may
consist of several batches, so that writing needs no more memory than one batch. Reading copies only the requested rows,
so neither training nor evaluation holds the dataset in memory.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core.errors import BoxlineError

Columns = Mapping[str, NDArray[Any]]
"""Arrays by column name; the first axis of each runs over the images."""

ID_BITS = 63
"""Image ids are positive int64."""


def shard_path(folder: Path, split: str, number: int) -> Path:
    """Return the path of a numbered shard. Each split has its own folder, so that a stage can depend on one split.

    The number has five digits, so the alphabetical order of the names is the order of the numbers.
    """
    return folder / split / f"{number:05d}.arrow"


def split_ids(image_ids: NDArray[np.int64], max_images: int) -> Iterator[slice]:
    """Split ascending ids into ranges whose limits barely depend on the ids.

    The range of all possible ids is halved, and each half again, until it contains at most `max_images` of the given
    ids. So an image that is added or removed changes only its own range, which it may split in two or merge with its
    other half.

    Args:
        image_ids: int64 [N], ascending.
        max_images: the largest number of ids per range.

    Returns:
        Slices of `image_ids`, none of them empty.

    >>> ids = np.array([1, 2, 3, 4, 5, 9])
    >>> [ids[part].tolist() for part in split_ids(ids, 2)]
    [[1], [2, 3], [4, 5], [9]]

    """

    def halve(start: int, stop: int, first_id: int, bits: int) -> Iterator[slice]:
        if stop - start > max_images:
            middle_id = first_id + (1 << (bits - 1))
            middle = start + int(np.searchsorted(image_ids[start:stop], middle_id))
            yield from halve(start, middle, first_id, bits - 1)
            yield from halve(middle, stop, middle_id, bits - 1)
        elif stop > start:
            yield slice(start, stop)

    return halve(0, len(image_ids), 0, ID_BITS)


def shard_batch(image_ids: NDArray[np.int64], columns: Columns) -> pa.RecordBatch:
    """Convert rows to an Arrow batch without copying them.

    Raises:
        ValueError: if a column has another number of rows than `image_ids`.

    """
    arrays = [pa.array(image_ids)]
    for name, values in columns.items():
        if len(values) != len(image_ids):
            raise ValueError(f"column {name} has {len(values)} rows, image_ids has {len(image_ids)}")
        # Arrow stores a scalar per image as a tensor of shape [1], and the reader returns it as such.
        tensors = np.ascontiguousarray(values.reshape(len(values), -1) if values.ndim == 1 else values)
        arrays.append(pa.FixedShapeTensorArray.from_numpy_ndarray(tensors))
    return pa.record_batch(arrays, names=["image_id", *columns])


def write_shard(path: Path, image_ids: NDArray[np.int64], columns: Columns) -> None:
    """Write a shard of one batch."""
    batch = shard_batch(image_ids, columns)
    write_batches(path, batch.schema, [batch])


def write_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a shard of several batches. Each is written before the next one is taken, so they may share memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def memory_map_batches(path: Path) -> list[pa.RecordBatch]:
    """Map the batches of a shard into memory. Only metadata are read until values are accessed.

    Raises:
        pa.ArrowException or OSError: if the file is missing or not a complete Arrow file.

    """
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]


def evenly_spaced(image_ids: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Select at most `count` of the images at equal steps from first to last, since neighbors are often similar.

    >>> evenly_spaced(np.arange(10, 20), 4).tolist()
    [10, 13, 16, 19]
    """
    return image_ids[np.linspace(0, len(image_ids) - 1, min(count, len(image_ids))).round().astype(int)]


class Shards:
    """All shards of one split as arrays, concatenated in alphabetical order of their names.

    Attributes:
        image_ids: int64 [N], the image of each row.

    Raises:
        BoxlineError: if the split has no shards.

    """

    def __init__(self, folder: Path, split: str) -> None:
        paths = sorted((folder / split).glob("*.arrow"))
        if not paths:
            raise BoxlineError(f"{folder} holds no images of split {split!r}. Check `split` in params.yaml.")
        batches = [batch for path in paths for batch in memory_map_batches(path)]
        self.image_ids: NDArray[np.int64] = np.concatenate([batch["image_id"].to_numpy() for batch in batches])
        self._columns = {
            name: [batch[name].to_numpy_ndarray() for batch in batches]
            for name in batches[0].schema.names
            if name != "image_id"
        }
        self._starts = np.cumsum([0, *(batch.num_rows for batch in batches)])

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def names(self) -> list[str]:
        """The names of the columns, without image_id."""
        return list(self._columns)

    def rows_of(self, image_ids: Iterable[int]) -> NDArray[np.int64]:
        """Return the row of each image, int64 [N].

        Raises:
            ValueError: if one of the images is missing.

        """
        requested_ids = np.asarray(list(image_ids), np.int64)
        order = np.argsort(self.image_ids)
        positions = np.searchsorted(self.image_ids, requested_ids, sorter=order)
        rows = order[np.minimum(positions, len(order) - 1)]
        if not np.array_equal(self.image_ids[rows], requested_ids):
            raise ValueError("an image is not in these shards")
        return rows

    def take(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Copy the given rows of one column to a new array [len(rows), ...].

        Raises:
            IndexError: if a row is out of range.

        """
        if np.any((rows < 0) | (rows >= len(self))):
            raise IndexError(f"a row is out of range: expected 0 to {len(self) - 1}")
        batches = self._columns[name]
        result = np.empty((len(rows), *batches[0].shape[1:]), batches[0].dtype)
        batch_of_row = np.searchsorted(self._starts, rows, side="right") - 1
        [run_starts] = np.nonzero(np.diff(batch_of_row, prepend=-1))  # runs of rows in the same batch
        for start, stop in itertools.pairwise([*run_starts, len(rows)]):
            batch_number = batch_of_row[start]
            rows_in_batch = rows[start:stop] - self._starts[batch_number]
            # With mode "clip" NumPy copies directly into `result`; the rows were checked above.
            np.take(batches[batch_number], rows_in_batch, axis=0, out=result[start:stop], mode="clip")
        return result
