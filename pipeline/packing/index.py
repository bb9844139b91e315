"""The index of a pack: where each image lies in its square."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core import schema
from pipeline.core.parquet import read_table, write_table
from pipeline.geometry.resize import BOX_PLACEMENTS, Placement
from pipeline.packing.config import Pack

INDEX = "index.parquet"

FIELDS = [name for name in schema.PLACEMENTS.names if name not in ("image_id", "split")]


def write_placements(folder: Path, images: pa.Table, pack: Pack) -> None:
    """One row of schema.PLACEMENTS per row of `images`, in that order."""
    sizes = np.stack([images["width"].to_numpy(), images["height"].to_numpy()], axis=1)
    # A few hundred sizes serve a hundred thousand images.
    distinct, size_of_image = np.unique(sizes, axis=0, return_inverse=True)
    place = BOX_PLACEMENTS[pack.resize]
    placements = [place(int(width), int(height), pack.image_size) for width, height in distinct]
    columns = {
        name: np.array([getattr(placement, name) for placement in placements], np.int32)[size_of_image]
        for name in FIELDS
    }
    table = pa.table({"image_id": images["image_id"], "split": images["split"], **columns})
    write_table(folder / INDEX, table, schema.PLACEMENTS)


def read_placements(folder: Path, split: str) -> dict[int, Placement]:
    """Where each image of the split lies, by image_id, in the order of the shards."""
    index = read_table(folder / INDEX, schema.PLACEMENTS)
    of_split = index.filter(pc.equal(index["split"], split))
    placements = map(Placement, *(of_split[name].to_pylist() for name in FIELDS))
    return dict(zip(of_split["image_id"].to_pylist(), placements, strict=True))
