"""Images decoded once, placed in the model's square input and packed into shards."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import schema
from pipeline.errors import BoxlineError
from pipeline.geometry.placement import BOX_PLACEMENTS, PIXEL_PLACEMENTS, Placement
from pipeline.progress import bar
from pipeline.storage.archives import MAX_IMAGE_BYTES, ArchiveFolder, Member
from pipeline.storage.decoding import eight_bits, opened
from pipeline.storage.params import Pack
from pipeline.storage.shards import shard_path, write_shard
from pipeline.storage.tables import read_table, write_table

logger = logging.getLogger(__name__)

INDEX = "index.parquet"


def pack_images(
    images: pa.Table, archives: ArchiveFolder, pack: Pack, folder: Path, executor: ThreadPoolExecutor
) -> None:
    """Write each split's shards, with one column `image`, and the index of placements (schema.PLACEMENTS).

    Raises BoxlineError naming archive and member where an image does not decode or has another size than stated.
    """
    started = time.perf_counter()
    placements: list[dict[str, Any]] = []
    with bar("packing", images.num_rows, "image") as progress:
        for split, number, rows in _shard_rows(images, pack.shard_images):
            pixels = executor.map(
                _packed, [archives[row["archive"]][row["member"]] for row in rows], rows, [pack] * len(rows)
            )
            squares = np.empty((len(rows), pack.image_size, pack.image_size, pack.channels), np.uint8)
            for position, square in enumerate(pixels):
                squares[position] = square
                progress.update()
            image_ids = np.array([row["image_id"] for row in rows], np.int64)
            write_shard(shard_path(folder, split, number), image_ids, {"image": squares})
            placements += [_placement_row(row, pack) for row in rows]
    write_table(folder / INDEX, pa.Table.from_pylist(placements, schema.PLACEMENTS), schema.PLACEMENTS)
    seconds = time.perf_counter() - started
    logger.info("packed %d images at %d px in %.1f s", images.num_rows, pack.image_size, seconds)


def read_placements(folder: Path, split: str) -> dict[int, Placement]:
    """Where each image of the split lies, by image_id, in the order of the shards."""
    index = read_table(folder / INDEX, schema.PLACEMENTS)
    placements = {}
    for row in index.to_pylist():
        image_id, image_split = row.pop("image_id"), row.pop("split")
        if image_split == split:
            placements[image_id] = Placement(**row)
    return placements


def _shard_rows(images: pa.Table, shard_images: int) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """Split, shard number and rows of each shard, in the order of the table."""
    for split in images["split"].unique().to_pylist():
        of_split = images.filter(pc.equal(images["split"], split))
        for number, start in enumerate(range(0, of_split.num_rows, shard_images)):
            yield split, number, of_split.slice(start, shard_images).to_pylist()


def _packed(member: Member, row: dict[str, Any], pack: Pack) -> NDArray[np.uint8]:
    placement = PIXEL_PLACEMENTS[pack.resize](row["width"], row["height"], pack.image_size)
    return placement.image_to_square(_decode(member, row, "RGB" if pack.channels == 3 else "L"))


def _placement_row(row: dict[str, Any], pack: Pack) -> dict[str, Any]:
    placement = BOX_PLACEMENTS[pack.resize](row["width"], row["height"], pack.image_size)
    return {"image_id": row["image_id"], "split": row["split"], **vars(placement)}


def _decode(member: Member, row: dict[str, Any], mode: str) -> NDArray[np.uint8]:
    """uint8 [height, width, channels]. Orientation tags are not applied: boxes refer to the stored pixels."""
    with opened(member.read(MAX_IMAGE_BYTES), str(member), "Replace the image, or drop its annotations.") as image:
        if image.size != (row["width"], row["height"]):
            raise BoxlineError(
                f"{member} is {image.size[0]} x {image.size[1]} pixels, "
                f"its annotation says {row['width']} x {row['height']}. Correct the annotation or the image."
            )
        return np.asarray(eight_bits(image).convert(mode)).reshape(row["height"], row["width"], -1)
