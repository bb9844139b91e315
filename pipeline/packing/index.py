"""The index of a pack: how each image was placed in its model input."""

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
"""The columns that are fields of ResizeTransform, in their order."""


def write_transforms(folder: Path, images: pa.Table, config: PackConfig) -> None:
    """Write the index: one row of schema.PACK_INDEX per row of `images`, in the same order."""
    sizes = np.stack([images["width"].to_numpy(), images["height"].to_numpy()], axis=1)
    # A hundred thousand images have only a few hundred different sizes.
    distinct_sizes, size_of_image = np.unique(sizes, axis=0, return_inverse=True)
    create_transform = BOX_TRANSFORMS[config.resize]
    transforms = [create_transform(int(width), int(height), config.image_size) for width, height in distinct_sizes]
    columns = {
        name: np.array([getattr(transform, name) for transform in transforms], np.int32)[size_of_image]
        for name in FIELDS
    }
    table = pa.table({"image_id": images["image_id"], "split": images["split"], **columns})
    write_table(folder / INDEX, table, schema.PACK_INDEX)


def read_transforms(folder: Path, split: str) -> dict[int, ResizeTransform]:
    """Return the transform of the boxes of each image of the split, by image id, in the order of the shards."""
    index = read_table(folder / INDEX, schema.PACK_INDEX)
    rows = index.filter(pc.equal(index["split"], split))
    transforms = map(ResizeTransform, *(rows[name].to_pylist() for name in FIELDS))
    return dict(zip(rows["image_id"].to_pylist(), transforms, strict=True))
