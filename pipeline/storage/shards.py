"""Arrays of many images as memory-mapped Arrow files, a bounded number of rows each.

A row is one image: its id and one tensor per column, all rows of a column alike in shape and type. Reading a batch
copies only that batch, so neither training nor evaluation holds the dataset in memory.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import BoxlineError

Columns = Mapping[str, NDArray[Any]]


def shard_path(folder: Path, split: str, number: int) -> Path:
    """The file of that shard. Five digits keep the order of names the order of numbers.

    Each split has a folder, so that a stage can depend on one split alone.
    """
    return folder / split / f"{number:05d}.arrow"


def write_shard(path: Path, image_ids: NDArray[np.int64], columns: Columns) -> None:
    """One Arrow file. `columns` maps names to arrays whose first axis runs over the images."""
    arrays = [pa.array(image_ids)]
    for name, values in columns.items():
        if len(values) != len(image_ids):
            raise ValueError(f"column {name} has {len(values)} rows, image_ids has {len(image_ids)}")
        # A scalar per image is a tensor of shape [1] to Arrow; the reader gives it back as such.
        tensors = np.ascontiguousarray(values.reshape(len(values), -1) if values.ndim == 1 else values)
        arrays.append(pa.FixedShapeTensorArray.from_numpy_ndarray(tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    batch = pa.record_batch(arrays, names=["image_id", *columns])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def spread(image_ids: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of the images, first to last at equal steps: neighbours are often alike.

    >>> spread(np.arange(10, 20), 4).tolist()
    [10, 13, 16, 19]
    """
    return image_ids[np.linspace(0, len(image_ids) - 1, min(count, len(image_ids))).round().astype(int)]


class Shards:
    """All shards of one split, one after the other, as arrays by row."""

    def __init__(self, folder: Path, split: str) -> None:
        paths = sorted((folder / split).glob("*.arrow"))
        if not paths:
            raise BoxlineError(f"{folder} holds no images of split {split!r}. Check `split` in params.yaml.")
        batches = [pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0) for path in paths]
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
        shards = self._columns[name]
        taken = np.empty((len(rows), *shards[0].shape[1:]), shards[0].dtype)
        shard_of_row = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(shard_of_row):
            here = shard_of_row == number
            taken[here] = shards[number][rows[here] - self._starts[number]]
        return taken
