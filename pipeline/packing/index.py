"""The index of a pack: where each image lies in its square."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core import schema
from pipeline.core.parquet import read_table, write_table
from pipeline.geometry.resize import BOX_TRANSFORMS, ResizeTransform
from pipeline.packing.config import PackConfig

INDEX = "index.parquet"

FIELDS = [name for name in schema.PACK_INDEX.names if name not in ("image_id", "split")]


def write_transforms(folder: Path, images: pa.Table, pack: PackConfig) -> None:
    """One row of schema.PACK_INDEX per row of `images`, in that order."""
    sizes = np.stack([images["width"].to_numpy(), images["height"].to_numpy()], axis=1)
    # A few hundred sizes serve a hundred thousand images.
    distinct, size_of_image = np.unique(sizes, axis=0, return_inverse=True)
    place = BOX_TRANSFORMS[pack.resize]
    transforms = [place(int(width), int(height), pack.image_size) for width, height in distinct]
    columns = {
        name: np.array([getattr(transform, name) for transform in transforms], np.int32)[size_of_image]
        for name in FIELDS
    }
    table = pa.table({"image_id": images["image_id"], "split": images["split"], **columns})
    write_table(folder / INDEX, table, schema.PACK_INDEX)


def read_transforms(folder: Path, split: str) -> dict[int, ResizeTransform]:
    """Where each image of the split lies, by image_id, in the order of the shards."""
    index = read_table(folder / INDEX, schema.PACK_INDEX)
    of_split = index.filter(pc.equal(index["split"], split))
    transforms = map(ResizeTransform, *(of_split[name].to_pylist() for name in FIELDS))
    return dict(zip(of_split["image_id"].to_pylist(), transforms, strict=True))
