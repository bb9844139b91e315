"""The rows of a shard of images: decoded from their archives, or copied from what an earlier run packed.

Everything here runs in a worker, whatever the executor: it is told where pixels are and writes them to a file itself.
"""

import functools
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import PIL
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from pipeline.archives.image_decoding import open_image, to_uint8
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES, Member
from pipeline.core.atomic_files import atomic_write
from pipeline.core.errors import BoxlineError
from pipeline.geometry.resize import PIXEL_TRANSFORMS
from pipeline.packing.config import PackConfig
from pipeline.packing.shards import mapped_batches, shard_batch, write_batches

VERSION = 1
"""Of the way from an image file to its pixels. Raise it with every change after which a file may give other pixels: of
this module, of storage/decoding.py or of geometry/placement.py. Every image is then decoded anew."""

DIGEST_BYTES = 32

BATCH_BYTES = 8 << 20
"""Pixels that a worker holds before it writes them."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Where an earlier run left the pixels of an image: a row of a batch of a shard."""

    shard: Path
    batch: int
    row: int


@dataclass(frozen=True, slots=True)
class Row:
    """An image of a shard, and where its pixels are to be had. `digest` covers all that they depend on."""

    image_id: int
    digest: bytes
    width: int
    height: int
    source: Member | Packed


def digests_of(images: pa.Table, sha256_of_files: pa.ChunkedArray, pack: PackConfig) -> pa.Array:
    """A digest per image, 32 bytes, of all that its pixels depend on: the file, its stated size, and the way."""
    if sha256_of_files.null_count:
        raise ValueError("an image without a digest of its file cannot be packed")
    way = f"{VERSION} {PIL.__version__} {cv2.__version__} {pack.image_size} {pack.channels} {pack.resize}"
    facts = zip(*(column.to_pylist() for column in (sha256_of_files, images["width"], images["height"])), strict=True)
    digests = [hashlib.sha256(f"{way} {sha256} {width} {height}".encode()).digest() for sha256, width, height in facts]
    return pa.array(digests, pa.binary(DIGEST_BYTES))


def shard_digest(image_ids: NDArray[np.int64], digests: Sequence[bytes]) -> str:
    """16 hex digits for all that the bytes of a shard depend on: its rows in order, and how they are laid out."""
    layout = f"{pa.__version__} {BATCH_BYTES}".encode()
    return hashlib.sha256(b"".join([layout, image_ids.tobytes(), *digests])).hexdigest()[:16]


def pack_shard(path: Path, rows: Sequence[Row], pack: PackConfig) -> int:
    """Write a shard with columns `image`, uint8 [size, size, channels], and `digest`, uint8 [32]; count its rows.

    Raises BoxlineError naming archive and member where an image does not decode or has another size than stated.
    """
    with atomic_write(path) as partial:
        write_batches(partial, shard_schema(pack), _batches(rows, pack))
    return len(rows)


def shard_schema(pack: PackConfig) -> pa.Schema:
    """That of the shards that `pack_shard` writes."""
    image, digest = _empty(1, pack), np.empty((1, DIGEST_BYTES), np.uint8)
    return shard_batch(np.zeros(1, np.int64), {"image": image, "digest": digest}).schema


def packed_rows(path: Path, schema: pa.Schema) -> list[list[tuple[int, bytes]]]:
    """Id and digest of the rows of each batch; none where there is no file, a damaged one, or one of another schema."""
    try:
        batches = mapped_batches(path)
        for batch in batches:
            batch.validate()
    except (pa.ArrowException, OSError):
        return []
    if any(batch.schema != schema for batch in batches):
        return []
    return [_ids_and_digests(batch) for batch in batches]


def _ids_and_digests(batch: pa.RecordBatch) -> list[tuple[int, bytes]]:
    digests = batch["digest"].to_numpy_ndarray()
    return list(zip(batch["image_id"].to_pylist(), map(bytes, digests), strict=True))


def _batches(rows: Sequence[Row], pack: PackConfig) -> Iterator[pa.RecordBatch]:
    """The rows some BATCH_BYTES at a time, all in the same memory."""
    images = _empty(len(rows), pack)
    # Neighbours in the new shard mostly were neighbours in the old one.
    earlier = functools.lru_cache(maxsize=1)(_packed_images)
    for start in range(0, len(rows), len(images)):
        batch = rows[start : start + len(images)]
        for image, row in zip(images, batch, strict=False):
            source = row.source
            if isinstance(source, Packed):
                image[...] = earlier(source.shard, source.batch)[source.row]
            else:
                _place(source, row, pack, image)
        image_ids = np.array([row.image_id for row in batch], np.int64)
        digests = np.frombuffer(b"".join(row.digest for row in batch), np.uint8).reshape(-1, DIGEST_BYTES)
        yield shard_batch(image_ids, {"image": images[: len(batch)], "digest": digests})


def _empty(rows: int, pack: PackConfig) -> NDArray[np.uint8]:
    """Memory for that many squares, or for a batch of them if that is less."""
    model_input = (pack.image_size, pack.image_size, pack.channels)
    return np.empty((min(rows, max(1, BATCH_BYTES // math.prod(model_input))), *model_input), np.uint8)


def _packed_images(shard: Path, batch: int) -> NDArray[np.uint8]:
    """Mapped for this batch alone: all of a mapping that was read counts as memory of the process until it goes."""
    reader = pa.ipc.open_file(pa.memory_map(str(shard)))
    images: NDArray[np.uint8] = reader.get_batch(batch)["image"].to_numpy_ndarray()
    return images


def _place(member: Member, row: Row, pack: PackConfig, model_input: NDArray[np.uint8]) -> None:
    transform = PIXEL_TRANSFORMS[pack.resize](row.width, row.height, pack.image_size)
    mode = "RGB" if pack.channels == 3 else "L"
    transform.apply_image(_decoded(member, row.width, row.height, mode), model_input)


def _decoded(member: Member, width: int, height: int, mode: str) -> NDArray[np.uint8]:
    """uint8 [height, width, channels]. Orientation tags are not applied: boxes refer to the stored pixels."""
    with open_image(member.read(MAX_IMAGE_BYTES), str(member), "Replace the image, or drop its annotations.") as image:
        if image.size != (width, height):
            raise BoxlineError(
                f"{member} is {image.size[0]} x {image.size[1]} pixels, "
                f"its annotation says {width} x {height}. Correct the annotation or the image."
            )
        narrowed = to_uint8(image)
        # Pillow copies an image that it converts to the mode that it has.
        return _array(narrowed if narrowed.mode == mode else narrowed.convert(mode))


def _array(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels of an RGB or grey image, uint8 [height, width, channels].

    np.asarray would copy them twice, and keep other threads waiting.
    """
    try:
        stored = pa.array(image)
    except ValueError:  # a large image lies in several blocks
        return np.asarray(image).reshape(image.height, image.width, -1)
    if image.mode == "L":
        return stored.to_numpy().reshape(image.height, image.width, 1)
    four_bytes = stored.flatten().to_numpy().reshape(image.height, image.width, 4)
    return cv2.cvtColor(four_bytes, cv2.COLOR_RGBA2RGB)
