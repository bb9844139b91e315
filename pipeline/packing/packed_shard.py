"""The file format of a shard of packed images: its name, its rows, and how they are written and found again.

The columns are `image_id` (int64), `image` (uint8 [size, size, channels]) and `digest` (uint8 [32]), the digest of
everything that the pixels depend on. So a later run can find and copy model inputs instead of decoding them again.
"""

import functools
import hashlib
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.archives.zip_archive import Member
from pipeline.core.atomic_files import atomic_write
from pipeline.packing.config import PackConfig
from pipeline.packing.model_input import DIGEST_BYTES, decode_model_input
from pipeline.packing.shards import memory_map_batches, shard_batch, write_batches

BATCH_BYTES = 8 << 20
"""Pixels that a worker collects in memory before it writes them as a batch."""


@dataclass(frozen=True, slots=True)
class PackedImage:
    """The location of pixels packed by an earlier run: a row of a batch of a shard."""

    shard: Path
    batch: int
    row: int


@dataclass(frozen=True, slots=True)
class ShardRow:
    """An image of a shard to write. A row is small, so it can be sent to a worker process.

    Attributes:
        image_id: the id of the image.
        digest: the digest of everything that the pixels depend on, 32 bytes.
        width: the width of the original image in pixels.
        height: the height of the original image in pixels.
        source: the image file to decode, or the packed pixels to copy.

    """

    image_id: int
    digest: bytes
    width: int
    height: int
    source: Member | PackedImage


def shard_name(image_ids: NDArray[np.int64], digests: Sequence[bytes]) -> str:
    """Return the file name: the first id, and 16 hexadecimal digits for everything that the bytes depend on.

    That is the rows in their order, and the layout of the file. The id has as many digits as the largest possible one,
    so the alphabetical order of the names is the order of the ids.
    """
    layout = f"{pa.__version__} {BATCH_BYTES}".encode()
    digest = hashlib.sha256(b"".join([layout, image_ids.tobytes(), *digests])).hexdigest()[:16]
    return f"{image_ids[0]:019d}-{digest}.arrow"


@functools.cache
def shard_schema(config: PackConfig) -> pa.Schema:
    """Return the schema of a shard of packed images."""
    image, digest = _allocate_images(1, config), np.empty((1, DIGEST_BYTES), np.uint8)
    return shard_batch(np.zeros(1, np.int64), {"image": image, "digest": digest}).schema


def write_packed_shard(path: Path, rows: Sequence[ShardRow], config: PackConfig) -> int:
    """Write a shard atomically. Runs in a worker thread or process.

    Returns:
        The number of rows.

    Raises:
        BoxlineError: if an image does not decode or has another size than stated; the message names archive and member.

    """
    with atomic_write(path) as temporary_path:
        write_batches(temporary_path, shard_schema(config), _batches(rows, config))
    return len(rows)


def has_rows(path: Path, config: PackConfig, rows: Sequence[tuple[int, bytes]]) -> bool:
    """Return whether the shard exists, is intact, and has exactly these rows of image id and digest."""
    return [row for batch in _read_rows(path, config) for row in batch] == rows


def find_images(paths: Iterable[Path], config: PackConfig, digests: Collection[bytes]) -> dict[bytes, PackedImage]:
    """Find images by digest in these shards. Missing, corrupt and incompatible files are skipped."""
    return {
        digest: PackedImage(path, batch_number, row_number)
        for path in paths
        for batch_number, batch in enumerate(_read_rows(path, config))
        for row_number, (_, digest) in enumerate(batch)
        if digest in digests
    }


def _read_rows(path: Path, config: PackConfig) -> list[list[tuple[int, bytes]]]:
    """Image id and digest of the rows of each batch; none if the file is missing, corrupt or has another schema."""
    try:
        batches = memory_map_batches(path)
        for batch in batches:
            batch.validate()
    except (pa.ArrowException, OSError):
        return []
    if any(batch.schema != shard_schema(config) for batch in batches):
        return []
    return [_ids_and_digests(batch) for batch in batches]


def _ids_and_digests(batch: pa.RecordBatch) -> list[tuple[int, bytes]]:
    digests = batch["digest"].to_numpy_ndarray()
    return list(zip(batch["image_id"].to_pylist(), map(bytes, digests), strict=True))


def _batches(rows: Sequence[ShardRow], config: PackConfig) -> Iterator[pa.RecordBatch]:
    """The rows in batches of at most BATCH_BYTES of pixels, which all share their memory."""
    images = _allocate_images(len(rows), config)
    # Neighbors in the new shard mostly were neighbors in the old one, so one cached batch suffices.
    read_batch = functools.lru_cache(maxsize=1)(_read_images)
    for start in range(0, len(rows), len(images)):
        batch = rows[start : start + len(images)]
        for image, row in zip(images, batch, strict=False):
            source = row.source
            if isinstance(source, PackedImage):
                image[...] = read_batch(source.shard, source.batch)[source.row]
            else:
                decode_model_input(source, row.width, row.height, config, image)
        image_ids = np.array([row.image_id for row in batch], np.int64)
        digests = np.frombuffer(b"".join(row.digest for row in batch), np.uint8).reshape(-1, DIGEST_BYTES)
        yield shard_batch(image_ids, {"image": images[: len(batch)], "digest": digests})


def _allocate_images(rows: int, config: PackConfig) -> NDArray[np.uint8]:
    """Uninitialized memory for that many model inputs, but not for more than a batch."""
    shape = (config.image_size, config.image_size, config.channels)
    return np.empty((min(rows, max(1, BATCH_BYTES // math.prod(shape))), *shape), np.uint8)


def _read_images(shard: Path, batch: int) -> NDArray[np.uint8]:
    """The images of a batch. The file is mapped for this batch alone: pages of a mapping that were read count as memory
    of the process until the mapping is closed.
    """
    reader = pa.ipc.open_file(pa.memory_map(str(shard)))
    images: NDArray[np.uint8] = reader.get_batch(batch)["image"].to_numpy_ndarray()
    return images
