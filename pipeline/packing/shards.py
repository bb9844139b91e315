"""Arrays of many images as memory-mapped Arrow files, a bounded number of rows each.

A row is one image: its id and one tensor per column, all rows of a column alike in shape and type. A file may hold them
in several batches, so that writing needs no more memory than a batch. Reading copies only the rows that are asked for,
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

ID_BITS = 63
"""Image ids are positive int64."""


def shard_path(folder: Path, split: str, number: int) -> Path:
    """The file of that shard. Five digits keep the order of names the order of numbers.

    Each split has a folder, so that a stage can depend on one split alone.
    """
    return folder / split / f"{number:05d}.arrow"


def id_ranges(image_ids: NDArray[np.int64], most: int) -> Iterator[slice]:
    """Slices of ascending ids, none empty, that hold at most `most` each.

    All possible ids are halved, and each half again, until at most `most` of those given are left in it. So an image
    that comes or goes touches its own slice alone, which it may split in two or join with its other half.

    >>> ids = np.array([1, 2, 3, 4, 5, 9])
    >>> [ids[part].tolist() for part in id_ranges(ids, 2)]
    [[1], [2, 3], [4, 5], [9]]
    """

    def halved(start: int, stop: int, first_id: int, bits: int) -> Iterator[slice]:
        if stop - start > most:
            middle_id = first_id + (1 << (bits - 1))
            middle = start + int(np.searchsorted(image_ids[start:stop], middle_id))
            yield from halved(start, middle, first_id, bits - 1)
            yield from halved(middle, stop, middle_id, bits - 1)
        elif stop > start:
            yield slice(start, stop)

    return halved(0, len(image_ids), 0, ID_BITS)


def shard_batch(image_ids: NDArray[np.int64], columns: Columns) -> pa.RecordBatch:
    """Rows as Arrow has them, not copied. `columns` maps names to arrays whose first axis runs over the images."""
    arrays = [pa.array(image_ids)]
    for name, values in columns.items():
        if len(values) != len(image_ids):
            raise ValueError(f"column {name} has {len(values)} rows, image_ids has {len(image_ids)}")
        # A scalar per image is a tensor of shape [1] to Arrow; the reader gives it back as such.
        tensors = np.ascontiguousarray(values.reshape(len(values), -1) if values.ndim == 1 else values)
        arrays.append(pa.FixedShapeTensorArray.from_numpy_ndarray(tensors))
    return pa.record_batch(arrays, names=["image_id", *columns])


def write_shard(path: Path, image_ids: NDArray[np.int64], columns: Columns) -> None:
    """One Arrow file of one batch."""
    batch = shard_batch(image_ids, columns)
    write_batches(path, batch.schema, [batch])


def write_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """One Arrow file. A batch is on disk before the next one is asked for, so they may share their memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def mapped_batches(path: Path) -> list[pa.RecordBatch]:
    """What the file holds, memory-mapped; nothing but descriptions is read before a value is asked for.

    Raises pa.ArrowException or OSError where it is no whole Arrow file.
    """
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]


def evenly_spaced(image_ids: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of the images, first to last at equal steps: neighbours are often alike.

    >>> spread(np.arange(10, 20), 4).tolist()
    [10, 13, 16, 19]
    """
    return image_ids[np.linspace(0, len(image_ids) - 1, min(count, len(image_ids))).round().astype(int)]


class Shards:
    """All shards of one split, one after the other in the order of their names, as arrays by row."""

    def __init__(self, folder: Path, split: str) -> None:
        paths = sorted((folder / split).glob("*.arrow"))
        if not paths:
            raise BoxlineError(f"{folder} holds no images of split {split!r}. Check `split` in params.yaml.")
        batches = [batch for path in paths for batch in mapped_batches(path)]
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
        """The columns' names, image_id aside."""
        return list(self._columns)

    def rows_of(self, image_ids: Iterable[int]) -> NDArray[np.int64]:
        """The row of each image, int64 [N]. Every image must be here."""
        order = np.argsort(self.image_ids)
        wanted = np.asarray(list(image_ids), np.int64)
        found = np.searchsorted(self.image_ids, wanted, sorter=order)
        rows = order[np.minimum(found, len(order) - 1)]
        if not np.array_equal(self.image_ids[rows], wanted):
            raise ValueError("an image is not in these shards")
        return rows

    def take(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The rows of one column as a new array [len(rows), ...]."""
        if np.any((rows < 0) | (rows >= len(self))):
            raise IndexError(f"rows from 0 to {len(self) - 1} are here")
        batches = self._columns[name]
        taken = np.empty((len(rows), *batches[0].shape[1:]), batches[0].dtype)
        batch_of_row = np.searchsorted(self._starts, rows, side="right") - 1
        [begins] = np.nonzero(np.diff(batch_of_row, prepend=-1))  # of runs of rows that lie in one batch
        for begin, end in itertools.pairwise([*begins, len(rows)]):
            number = batch_of_row[begin]
            wanted = rows[begin:end] - self._starts[number]
            # With "clip" NumPy copies straight into `taken`; the rows were checked above.
            np.take(batches[number], wanted, axis=0, out=taken[begin:end], mode="clip")
        return taken
