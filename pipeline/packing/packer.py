"""The incremental packer: decides which shards to keep, copy or write, and writes them in parallel.

A shard is named after its first image and a digest of everything that its bytes depend on. Shards without changes are
reused as files. In shards with changes, unchanged images are copied from earlier shards, and only new or changed images
are decoded.
"""

import logging
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.core.atomic_files import atomic_write
from pipeline.core.disk_space import require_disk_space
from pipeline.core.progress import ProgressBar
from pipeline.datasets.annotations import image_rows_of, take_or_null
from pipeline.packing.config import PackConfig
from pipeline.packing.index import INDEX, write_transforms
from pipeline.packing.model_input import pixel_digests
from pipeline.packing.packed_shard import (
    PackedImage,
    ShardRow,
    find_images,
    has_rows,
    shard_name,
    write_packed_shard,
)
from pipeline.packing.shards import split_ids

logger = logging.getLogger(__name__)

DISK_ADVICE = (
    "Free disk space, or reduce pack.image_size in params.yaml, then run the command again: complete shards are kept."
)

QUEUED_SHARDS = 64
"""Shards submitted to the executor and not finished: more than a machine has workers, few enough to hold in memory."""


@dataclass(frozen=True)
class _PlannedShard:
    """The contents of a shard: rows of schema.IMAGES with a column `digest`. `name` is its path in the folder."""

    name: str
    images: pa.Table

    @property
    def rows(self) -> list[tuple[int, bytes]]:
        """Image id and digest of each row."""
        return list(zip(self.images["image_id"].to_pylist(), self.images["digest"].to_pylist(), strict=True))


def pack_images(
    images: pa.Table,
    files: pa.Table,
    archives: ArchiveFolder,
    config: PackConfig,
    previous: Path,
    folder: Path,
    executor: Executor,
) -> None:
    """Fill `folder` with the shards of each split, ordered by image id, and the index of their transforms.

    The result depends only on the images, the versions of the libraries and `config`. What is in `previous` and
    `folder` merely saves work.

    Args:
        images: rows of schema.IMAGES.
        files: rows of schema.FILES with the SHA-256 sum of each image file.
        archives: the archives that contain the images.
        config: the size, channels and resizing of the model inputs, and the length of the shards.
        previous: the pack of an earlier run; it is only read and need not exist.
        folder: the folder to fill. It may contain shards of an interrupted run.
        executor: runs the workers: threads, processes, or machines that see the same files. A worker writes one shard
            at a time and holds a few batches of it in memory.

    Raises:
        BoxlineError: if an image does not decode or has another size than stated; the message names archive and member.
            Also, before anything is written, if the disk has too little space.

    """
    started = time.perf_counter()
    images = _sort_with_digests(images, files, config)
    shards = list(_plan_shards(images, config))
    names = {INDEX, *(shard.name for shard in shards)}
    missing = [shard for shard in shards if not _reuse_shard(shard, config, previous, folder)]
    needed = [digest for shard in missing for digest in shard.images["digest"].to_pylist()]
    require_disk_space(folder, len(needed) * config.image_size**2 * config.channels, DISK_ADVICE)
    packed = find_images([*_other_files(names, previous), *_other_files(names, folder)], config, set(needed))
    num_kept, num_copied = images.num_rows - len(needed), sum(digest in packed for digest in needed)
    tasks = ((folder / shard.name, _shard_rows(shard, packed, archives)) for shard in missing)
    with ProgressBar("packing", images.num_rows, "image") as progress:
        progress.update(num_kept)
        for count in _write_shards(executor, tasks, config):
            progress.update(count)
    write_transforms(folder, images, config)
    _delete_files(_other_files(names, folder))
    logger.info(
        "packed %d images at %d px in %.1f s: %d decoded, %d copied, %d in unchanged shards",
        images.num_rows,
        config.image_size,
        time.perf_counter() - started,
        len(needed) - num_copied,
        num_copied,
        num_kept,
    )


def _sort_with_digests(images: pa.Table, files: pa.Table, config: PackConfig) -> pa.Table:
    """The images by split and id, with a column `digest`."""
    digests = pixel_digests(images, take_or_null(files["sha256"], image_rows_of(images, files)), config)
    return images.append_column("digest", digests).sort_by([("split", "ascending"), ("image_id", "ascending")])


def _plan_shards(images: pa.Table, config: PackConfig) -> Iterator[_PlannedShard]:
    for split in images["split"].unique().to_pylist():
        images_of_split = images.filter(pc.equal(images["split"], split))
        image_ids = images_of_split["image_id"].to_numpy()
        for part in split_ids(image_ids, config.shard_images):
            rows = images_of_split.slice(part.start, part.stop - part.start)
            name = shard_name(image_ids[part], rows["digest"].to_pylist())
            yield _PlannedShard(f"{split}/{name}", rows)


def _reuse_shard(shard: _PlannedShard, config: PackConfig, previous: Path, folder: Path) -> bool:
    """Link the shard from `previous` if necessary and possible. Returns whether `folder` has the shard afterwards."""
    path, previous_path = folder / shard.name, previous / shard.name
    if has_rows(path, config, shard.rows):  # an interrupted run finished it
        return True
    if not has_rows(previous_path, config, shard.rows):
        return False
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    try:
        os.link(previous_path, path)
    except OSError:  # not every file system supports hard links
        with atomic_write(path) as temporary_path:
            shutil.copyfile(previous_path, temporary_path)
    return True


def _other_files(names: Collection[str], folder: Path) -> list[Path]:
    """The files below `folder` that are not among `names`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in paths if path.relative_to(folder).as_posix() not in names]


def _shard_rows(shard: _PlannedShard, packed: Mapping[bytes, PackedImage], archives: ArchiveFolder) -> list[ShardRow]:
    """The rows of a shard to write. Only archives with images that have to be decoded are opened."""
    names = ("image_id", "digest", "width", "height", "archive", "member")
    columns = (shard.images[name].to_pylist() for name in names)
    return [
        ShardRow(image_id, digest, width, height, packed.get(digest) or archives[archive][member])
        for image_id, digest, width, height, archive, member in zip(*columns, strict=True)
    ]


def _write_shards(
    executor: Executor, tasks: Iterable[tuple[Path, Sequence[ShardRow]]], config: PackConfig
) -> Iterator[int]:
    """Write shards in parallel, with at most QUEUED_SHARDS submitted at a time; yields the images of each when done."""
    queued: set[Future[int]] = set()
    try:
        for path, rows in tasks:
            queued.add(executor.submit(write_packed_shard, path, rows, config))
            if len(queued) == QUEUED_SHARDS:
                done, queued = wait(queued, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while queued:
            done, queued = wait(queued, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        for future in queued:
            future.cancel()


def _delete_files(paths: Iterable[Path]) -> None:
    """Delete files, and their folders if these are empty afterwards."""
    for path in paths:
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
