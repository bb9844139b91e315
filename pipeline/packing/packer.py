"""Images decoded once, placed in the model's square input and packed into shards.

A shard is named after its first image and a digest of everything that its bytes depend on. What an earlier run packed
is taken over: whole shards where nothing in them changed, single rows where something did.
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

from pipeline.archives.zip_archive import ArchiveFolder
from pipeline.core.atomic_files import atomic_write
from pipeline.core.progress import bar
from pipeline.packing.config import PackConfig
from pipeline.packing.index import INDEX, write_transforms
from pipeline.packing.shard_writer import Packed, Row, digests_of, pack_shard, packed_rows, shard_digest, shard_schema
from pipeline.packing.shards import id_ranges

logger = logging.getLogger(__name__)

QUEUED_SHARDS = 64
"""Handed out and not yet packed: more than a machine has workers, few enough to describe."""


@dataclass(frozen=True)
class _Shard:
    """What a shard is to hold: rows of schema.IMAGES with a column `digest`. `name` is its path in the folder."""

    name: str
    images: pa.Table

    @property
    def contents(self) -> list[tuple[int, bytes]]:
        return list(zip(self.images["image_id"].to_pylist(), self.images["digest"].to_pylist(), strict=True))


def pack_images(
    images: pa.Table,
    files: pa.Table,
    archives: ArchiveFolder,
    pack: PackConfig,
    previous: Path,
    folder: Path,
    executor: Executor,
) -> None:
    """Fill `folder` with the shards of each split, see `pack_shard`, and the index of placements, by image_id.

    `files` (schema.FILES) has the digest of each image. What `previous`, the pack of an earlier run, and `folder` hold
    already is not decoded again; what `folder` holds in the end depends on the images and on `pack` alone.

    `executor` may have threads, processes, or machines that see the same files. A worker packs a shard at a time and
    holds a few batches of it. Raises BoxlineError naming archive and member where an image does not decode or has
    another size than stated.
    """
    started = time.perf_counter()
    images = _by_id(images, files, pack)
    shards = list(_shards(images, pack))
    names, columns = {INDEX, *(shard.name for shard in shards)}, shard_schema(pack)
    missing = [shard for shard in shards if not _taken_over(shard, columns, previous, folder)]
    wanted = [digest for shard in missing for digest in shard.images["digest"].to_pylist()]
    packed = _packed([*_all_but(names, previous), *_all_but(names, folder)], columns, set(wanted))
    num_kept, num_copied = images.num_rows - len(wanted), sum(digest in packed for digest in wanted)
    tasks = ((folder / shard.name, _rows(shard, packed, archives)) for shard in missing)
    with bar("packing", images.num_rows, "image") as progress:
        progress.update(num_kept)
        for count in _each_done(executor, tasks, pack):
            progress.update(count)
    write_transforms(folder, images, pack)
    _drop(_all_but(names, folder))
    logger.info(
        "packed %d images at %d px in %.1f s: %d decoded, %d copied, %d in shards that did not change",
        images.num_rows,
        pack.image_size,
        time.perf_counter() - started,
        len(wanted) - num_copied,
        num_copied,
        num_kept,
    )


def _by_id(images: pa.Table, files: pa.Table, pack: PackConfig) -> pa.Table:
    """The images by split and id, with a column `digest`."""
    rows = pc.index_in(images["image_id"], value_set=files["image_id"].combine_chunks())
    digests = digests_of(images, files["sha256"].take(rows), pack)
    return images.append_column("digest", digests).sort_by([("split", "ascending"), ("image_id", "ascending")])


def _shards(images: pa.Table, pack: PackConfig) -> Iterator[_Shard]:
    for split in images["split"].unique().to_pylist():
        of_split = images.filter(pc.equal(images["split"], split))
        image_ids = of_split["image_id"].to_numpy()
        for part in id_ranges(image_ids, pack.shard_images):
            rows = of_split.slice(part.start, part.stop - part.start)
            digest = shard_digest(image_ids[part], rows["digest"].to_pylist())
            # As many digits as an id can have: the order of names is the order of ids.
            yield _Shard(f"{split}/{image_ids[part.start]:019d}-{digest}.arrow", rows)


def _taken_over(shard: _Shard, columns: pa.Schema, previous: Path, folder: Path) -> bool:
    """Whether `folder` has the shard: a stopped run may have finished it, and `previous` may lend it."""
    path, former_path = folder / shard.name, previous / shard.name
    if _holds(path, columns, shard.contents):
        return True
    if not _holds(former_path, columns, shard.contents):
        return False
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    try:
        os.link(former_path, path)
    except OSError:  # not on every file system
        with atomic_write(path) as partial:
            shutil.copyfile(former_path, partial)
    return True


def _holds(path: Path, columns: pa.Schema, contents: list[tuple[int, bytes]]) -> bool:
    return [row for batch in packed_rows(path, columns) for row in batch] == contents


def _all_but(names: Collection[str], folder: Path) -> list[Path]:
    """Other files below `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in paths if path.relative_to(folder).as_posix() not in names]


def _packed(paths: Iterable[Path], columns: pa.Schema, digests: Collection[bytes]) -> dict[bytes, Packed]:
    """Where in these shards the images with these digests are, as far as they are there."""
    return {
        digest: Packed(path, number, row)
        for path in paths
        for number, batch in enumerate(packed_rows(path, columns))
        for row, (_, digest) in enumerate(batch)
        if digest in digests
    }


def _rows(shard: _Shard, packed: Mapping[bytes, Packed], archives: ArchiveFolder) -> list[Row]:
    """Archives are only opened for images that nobody packed."""
    names = ("image_id", "digest", "width", "height", "archive", "member")
    facts = zip(*(shard.images[name].to_pylist() for name in names), strict=True)
    return [
        Row(image_id, digest, width, height, packed.get(digest) or archives[archive][member])
        for image_id, digest, width, height, archive, member in facts
    ]


def _each_done(executor: Executor, tasks: Iterable[tuple[Path, Sequence[Row]]], pack: PackConfig) -> Iterator[int]:
    """The number of images of each shard, as soon as it is packed. At most QUEUED_SHARDS are handed out at a time."""
    queued: set[Future[int]] = set()
    try:
        for path, rows in tasks:
            queued.add(executor.submit(pack_shard, path, rows, pack))
            if len(queued) == QUEUED_SHARDS:
                done, queued = wait(queued, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while queued:
            done, queued = wait(queued, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        for future in queued:
            future.cancel()


def _drop(paths: Iterable[Path]) -> None:
    """Files, and the folders that hold nothing else."""
    for path in paths:
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
