import hashlib
import io
import logging
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.zip_archive import write_archive
from pipeline.core import schema
from pipeline.core.atomic_files import resumable_directory
from pipeline.core.errors import BoxlineError
from pipeline.geometry.resize import center_crop, letterbox, stretch
from pipeline.packing import model_input, packed_shard, packer
from pipeline.packing.config import PackConfig
from pipeline.packing.index import read_transforms
from pipeline.packing.packer import pack_images
from pipeline.packing.shards import Shards, write_shard

PROJECT = Path(__file__).parents[2]
GRAY = PackConfig(image_size=32, channels=1, resize="letterbox", shard_images=2)
PACK = PackConfig(image_size=32, channels=3, resize="letterbox", shard_images=2)


def png(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def scene(width: int, height: int, value: int) -> np.ndarray:
    """Red left half, green right half."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = value
    pixels[:, width // 2 :, 1] = value
    return pixels


@dataclass(frozen=True)
class Photo:
    """An image as in the tables. If it is not `readable`, its bytes in the archive are destroyed."""

    image_id: int
    content: bytes
    width: int
    height: int
    split: str = "train"
    readable: bool = True


def make_photo(image_id: int, value: int = 200, split: str = "train", width: int = 12, height: int = 7) -> Photo:
    """Make an image whose bytes are unique by id: decoders ignore bytes after the end of an image."""
    return Photo(image_id, png(scene(width, height, value)) + image_id.to_bytes(2, "big"), width, height, split)


def unreadable(photos: Iterable[Photo]) -> list[Photo]:
    """Return the same photos with destroyed bytes in the archive, so that decoding them fails."""
    return [replace(photo, readable=False) for photo in photos]


def tables_of(photos: Iterable[Photo]) -> tuple[pa.Table, pa.Table]:
    """Return the tables of images and files as `validate` writes them."""
    images = [
        {
            "image_id": photo.image_id,
            "split": photo.split,
            "file_name": f"{photo.image_id}.png",
            "width": photo.width,
            "height": photo.height,
            "archive": "images.zip",
            "member": f"{photo.image_id}.png",
        }
        for photo in photos
    ]
    files = [
        {"image_id": p.image_id, "split": p.split, "sha256": hashlib.sha256(p.content).hexdigest()} for p in photos
    ]
    return pa.Table.from_pylist(images, schema.IMAGES), pa.Table.from_pylist(files, schema.FILES)


def pack_photos(
    folder: Path,
    photos: Sequence[Photo],
    pack: PackConfig = PACK,
    executor: Executor | None = None,
    previous: Path | None = None,
) -> Path:
    """Write the archive and pack it as the stage does, over the pack in folder/pack."""
    archive = [(f"{photo.image_id}.png", photo.content if photo.readable else b"destroyed") for photo in photos]
    write_archive(folder / "images.zip", archive)
    out = folder / "pack"
    with resumable_directory(out) as partial, ThreadPoolExecutor(2) as threads:
        archives = ArchiveFolder(folder)
        pack_images(*tables_of(photos), archives, pack, previous or out, partial, executor or threads)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pack_from_scratch(folder: Path, photos: Sequence[Photo], pack: PackConfig = PACK) -> dict[str, bytes]:
    """Return the contents of a pack of those photos made without any previous pack."""
    readable = [replace(photo, readable=True) for photo in photos]
    packed = contents(pack_photos(folder / "fresh", readable, pack))
    shutil.rmtree(folder / "fresh")
    return packed


def read_model_input(pack: Path, image_id: int, split: str = "train") -> np.ndarray:
    shards = Shards(pack, split)
    return shards.take("image", shards.rows_of([image_id]))[0]


def test_images_are_ordered_by_id_over_shards_and_splits(tmp_path: Path) -> None:
    sizes = {9: (64, 40), 3: (20, 60), 7: (33, 33), 5: (64, 64)}
    photos = [make_photo(i, width=width, height=height) for i, (width, height) in sizes.items()]
    photos[-1] = replace(photos[-1], split="val")
    out = pack_photos(tmp_path, photos)
    # Ids 0 to 7 and 8 to 15 in shards of two: 3 and 7, then 9.
    names = sorted(contents(out))
    assert [name.partition("-")[0] for name in names] == [
        "index.parquet",
        "train/0000000000000000003",
        "train/0000000000000000009",
        "val/0000000000000000005",
    ]
    shards = Shards(out, "train")
    assert shards.image_ids.tolist() == [3, 7, 9]
    assert list(read_transforms(out, "train").items()) == [(i, letterbox(*sizes[i], 32)) for i in (3, 7, 9)]
    # 64 x 40 at half size is 32 x 20 with 6 black rows above; red is left, RGB order kept
    pixels = read_model_input(out, 9)
    assert pixels[16, 2].tolist() == [200, 0, 0]
    assert pixels[16, 30].tolist() == [0, 200, 0]
    assert pixels[5].max() == 0
    assert pixels[6].max() == 200


def test_pixels_match_pixel_version(tmp_path: Path) -> None:
    """If this fails after an intended change of the pixels, increment PIXEL_VERSION in pipeline/packing/model_input.py.

    Otherwise packs keep the old pixels.
    """
    # Blocks of 3 x 3 pixels, all but one black: averaging by area leaves a ninth of it.
    expected = 1 + np.arange(2 * 4 * 3).reshape(2, 4, 3)
    image = np.zeros((6, 12, 3), np.uint8)
    image[2::3, ::3] = 9 * expected
    out = pack_photos(
        tmp_path,
        [Photo(1, png(image), 12, 6)],
        PackConfig(image_size=4, channels=3, resize="letterbox", shard_images=1),
    )
    assert model_input.PIXEL_VERSION == 1
    np.testing.assert_array_equal(read_model_input(out, 1), np.pad(expected, ((1, 1), (0, 0), (0, 0))))


def test_gray_image_with_one_channel(tmp_path: Path) -> None:
    photo = Photo(1, png(np.full((32, 32), 77, np.uint8)), 32, 32)
    assert (read_model_input(pack_photos(tmp_path, [photo], GRAY), 1) == 77).all()


def test_gray_files_become_rgb_and_color_files_become_gray(tmp_path: Path) -> None:
    photos = [Photo(1, png(np.full((32, 32), 77, np.uint8)), 32, 32), make_photo(2, 200, width=32, height=32)]
    assert (read_model_input(pack_photos(tmp_path, photos), 1) == [77, 77, 77]).all()
    # 0.299 of the red and 0.587 of the green
    gray = read_model_input(pack_photos(tmp_path, photos, GRAY), 2)
    assert np.unique(gray[:, :16]).tolist() == [60]
    assert np.unique(gray[:, 16:]).tolist() == [117]


def test_16_bit_pixels_are_scaled_not_clipped(tmp_path: Path) -> None:
    photo = Photo(1, png(np.full((32, 32), 77 * 257, np.uint16)), 32, 32)
    assert (read_model_input(pack_photos(tmp_path, [photo], GRAY), 1) == 77).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_image_in_several_memory_blocks(tmp_path: Path, channels: Any) -> None:
    """Pillow stores more than 16 MB in several blocks and never divides a row."""
    side = 2100 if channels == 3 else 4200
    ramp = (np.arange(side)[:, None] // 20 + np.arange(side) % 7).astype(np.uint8)
    image = np.stack([ramp, ramp // 2, 255 - ramp], axis=2) if channels == 3 else ramp
    with pytest.raises(ValueError, match="not contiguous"):
        pa.array(Image.open(io.BytesIO(png(image))))
    # Not validated: a gray image fills several blocks only above the largest allowed size.
    config = PackConfig.model_construct(image_size=side, channels=channels, resize="letterbox", shard_images=1)
    out = pack_photos(tmp_path, [Photo(1, png(image), side, side)], config)
    np.testing.assert_array_equal(read_model_input(out, 1), image.reshape(side, side, channels))


def test_crop_transforms_pixels_while_boxes_follow_the_letterbox(tmp_path: Path) -> None:
    crop = PackConfig(image_size=32, channels=3, resize="crop", shard_images=9)
    out = pack_photos(tmp_path, [make_photo(1, width=64, height=32)], crop)
    expected = center_crop(64, 32, 32).apply_image(scene(64, 32, 200))
    np.testing.assert_array_equal(read_model_input(out, 1), expected)
    assert read_transforms(out, "train") == {1: letterbox(64, 32, 32)}


def test_stretch_transforms_pixels_and_boxes_alike(tmp_path: Path) -> None:
    stretched = PackConfig(image_size=32, channels=3, resize="stretch", shard_images=9)
    out = pack_photos(tmp_path, [make_photo(1, width=64, height=16)], stretched)
    pixels = read_model_input(out, 1)
    assert (pixels[:, :16] == [200, 0, 0]).all()
    assert (pixels[:, 16:] == [0, 200, 0]).all()
    assert read_transforms(out, "train") == {1: stretch(64, 16, 32)}


def test_orientation_tags_are_not_applied(tmp_path: Path) -> None:
    """COCO's boxes refer to the stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6  # viewers rotate it by 90 degrees
    out = pack_photos(tmp_path, [Photo(1, png(scene(64, 32, value=200), exif=exif), 64, 32)])
    pixels = read_model_input(out, 1)
    assert pixels[16, 2].tolist() == [200, 0, 0]
    assert pixels[16, 30].tolist() == [0, 200, 0]


def failure(folder: Path, photo: Photo) -> str:
    """Return the error message after checking that nothing was left behind."""
    with pytest.raises(BoxlineError) as raised:
        pack_photos(folder, [photo])
    assert [path.name for path in folder.iterdir()] == ["images.zip"]
    return str(raised.value)


def test_truncated_image_is_an_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    assert failure(tmp_path, Photo(1, png(noise)[:900], 40, 40)).startswith(
        f"{tmp_path}/images.zip: member 1.png does not decode ("
    )


def test_web_page_in_place_of_image_is_an_error(tmp_path: Path) -> None:
    message = failure(tmp_path, Photo(1, b"<html>", 40, 40))
    assert message.startswith(f"{tmp_path}/images.zip: member 1.png does not decode (no known image format). ")
    assert message.endswith("Replace the image, or drop its annotations.")


def test_image_of_another_size_than_annotated_is_an_error(tmp_path: Path) -> None:
    assert failure(tmp_path, Photo(1, png(scene(64, 32, 200)), 32, 64)) == (
        f"{tmp_path}/images.zip: member 1.png is 64 x 32 pixels, its annotation says 32 x 64. "
        "Correct the annotation or the image."
    )


def test_image_without_sha256_raises_value_error(tmp_path: Path) -> None:
    images, _ = tables_of([make_photo(1)])
    _, files = tables_of([])
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(ValueError, match="an image cannot be packed without the SHA-256 sum of its file"),
    ):
        pack_images(images, files, ArchiveFolder(tmp_path), PACK, tmp_path / "pack", tmp_path, executor)


def test_images_to_write_need_disk_space_and_those_of_unchanged_shards_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [make_photo(i) for i in range(1, 8)]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 0, 10))
    needed_bytes = 7 * PACK.image_size**2 * PACK.channels
    with pytest.raises(BoxlineError) as raised:
        pack_photos(tmp_path, photos)
    assert str(raised.value) == (
        f"{tmp_path}/.pack.partial: {needed_bytes:,} more bytes are needed, but only 10 bytes are free on the disk. "
        "Free disk space, or reduce pack.image_size in params.yaml, then run the command again: "
        "complete shards are kept."
    )
    assert not (tmp_path / ".pack.partial").exists()
    monkeypatch.undo()
    pack_photos(tmp_path, photos)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    pack_photos(tmp_path, unreadable(photos))


# Reuse of previous packs


def test_second_run_decodes_nothing_and_keeps_files(tmp_path: Path) -> None:
    photos = [make_photo(i) for i in range(1, 8)]
    out = pack_photos(tmp_path, photos)
    before = {path: path.stat() for path in out.rglob("*.arrow")}
    expected = contents(out)
    assert contents(pack_photos(tmp_path, unreadable(photos))) == expected
    after = {path: path.stat() for path in out.rglob("*.arrow")}
    assert {path: (s.st_ino, s.st_mtime_ns) for path, s in after.items()} == {
        path: (s.st_ino, s.st_mtime_ns) for path, s in before.items()
    }


def test_new_image_is_decoded_alone_and_other_shards_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos = [make_photo(i) for i in (1, 2, 3, 5, 8, 9, 12)]
    kept = set(contents(pack_photos(tmp_path, photos)))
    caplog.set_level(logging.INFO)
    grown = [*unreadable(photos), make_photo(4, value=90)]
    assert contents(pack_photos(tmp_path, grown)) == pack_from_scratch(tmp_path, grown)
    # Shards of two: 1, 2-3, 5, 8-9, 12. The new image joins 5.
    assert len(kept & set(contents(tmp_path / "pack"))) == 4 + 1  # and the index
    assert "packed 8 images at 32 px in " in caplog.text
    assert ": 1 decoded, 1 copied, 6 in unchanged shards" in caplog.text
    assert (read_model_input(tmp_path / "pack", 4)[16, 2] == [90, 0, 0]).all()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda photos: photos[1:], id="removed"),
        pytest.param(lambda photos: photos[::-1], id="in another order"),
        pytest.param(lambda photos: [replace(photos[0], split="val"), *photos[1:]], id="in another split"),
        pytest.param(lambda photos: [replace(photos[0], image_id=40), *photos[1:]], id="under an id far away"),
        pytest.param(lambda photos: [*photos[:-1], replace(photos[-1], image_id=10)], id="under an id nearby"),
    ],
)
def test_changes_of_the_tables_alone_decode_nothing(
    tmp_path: Path, change: Callable[[list[Photo]], list[Photo]]
) -> None:
    photos = [make_photo(i, value=10 * i) for i in (1, 2, 3, 4, 5, 8, 9)]
    pack_photos(tmp_path, photos)
    changed = change(unreadable(photos))
    assert contents(pack_photos(tmp_path, changed)) == pack_from_scratch(tmp_path, changed)


def test_shards_of_another_length_are_copied_from_existing_ones(tmp_path: Path) -> None:
    photos = [make_photo(i, value=10 * i) for i in range(1, 20)]
    pack_photos(tmp_path, photos, replace_pack(PACK, shard_images=4))
    longer = replace_pack(PACK, shard_images=16)
    assert contents(pack_photos(tmp_path, unreadable(photos), longer)) == pack_from_scratch(tmp_path, photos, longer)


def test_changed_image_is_decoded_again(tmp_path: Path) -> None:
    photos = [make_photo(i) for i in range(1, 8)]
    pack_photos(tmp_path, photos)
    changed = [*unreadable(photos[:-1]), make_photo(7, value=90)]
    assert contents(pack_photos(tmp_path, changed)) == pack_from_scratch(tmp_path, changed)
    assert read_model_input(tmp_path / "pack", 7)[16, 2].tolist() == [90, 0, 0]


def replace_pack(pack: PackConfig, **values: Any) -> PackConfig:
    return pack.model_copy(update=values)


@pytest.mark.parametrize(
    "other",
    [
        replace_pack(PACK, image_size=31),
        replace_pack(PACK, channels=1),
        replace_pack(PACK, resize="stretch"),
        replace_pack(PACK, resize="crop"),
    ],
    ids=["size", "channels", "stretch", "crop"],
)
def test_changed_config_decodes_everything_again(tmp_path: Path, other: PackConfig) -> None:
    photos = [make_photo(i) for i in range(1, 4)]
    pack_photos(tmp_path, photos)
    assert contents(pack_photos(tmp_path, photos, other)) == pack_from_scratch(tmp_path, photos, other)
    with pytest.raises(BoxlineError, match="does not decode"):
        pack_photos(tmp_path, unreadable(photos))


@pytest.mark.parametrize(
    ("module", "name"),
    [(model_input, "PIXEL_VERSION"), (PIL, "__version__"), (cv2, "__version__")],
    ids=["own", "Pillow", "cv2"],
)
def test_changed_version_of_code_or_library_decodes_everything_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    photos = [make_photo(i) for i in range(1, 4)]
    pack_photos(tmp_path, photos)
    monkeypatch.setattr(module, name, 99)
    with pytest.raises(BoxlineError, match="does not decode"):
        pack_photos(tmp_path, unreadable(photos))


@pytest.mark.parametrize(("module", "name"), [(pa, "__version__"), (packed_shard, "BATCH_BYTES")])
def test_changed_file_layout_copies_the_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    photos = [make_photo(i) for i in range(1, 4)]
    kept = set(contents(pack_photos(tmp_path, photos)))
    monkeypatch.setattr(module, name, 99)
    assert set(contents(pack_photos(tmp_path, unreadable(photos)))) & kept == {"index.parquet"}


# Previous files are verified before reuse, and never written to


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(b"no Arrow file" * 1000)


def write_other_columns(path: Path) -> None:
    write_shard(path, np.array([1, 2]), {"image": np.zeros((2, 32, 32, 3), np.uint8)})


def write_other_rows(path: Path) -> None:
    """A valid shard under the name of another one."""
    [*_, last] = sorted(path.parent.iterdir())
    shutil.copy(last, path)


def write_no_rows(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file:
        pa.ipc.new_file(file, packed_shard.shard_schema(PACK)).close()


def write_too_few_pixels(path: Path) -> None:
    """Two rows, and pixels for less than one."""
    values, fewer = ((count).to_bytes(8, "little") for count in (2 * 32 * 32 * 3, 100))
    damaged = path.read_bytes().replace(values, fewer)
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)


CORRUPTIONS = [
    truncate,
    empty,
    overwrite,
    write_other_columns,
    write_other_rows,
    write_no_rows,
    write_too_few_pixels,
]


@pytest.mark.parametrize("corrupt", CORRUPTIONS)
def test_corrupt_shard_is_decoded_again(tmp_path: Path, corrupt: Callable[[Path], None]) -> None:
    photos = [make_photo(i) for i in range(1, 8)]
    expected = contents(pack_photos(tmp_path, photos))
    [_, second, *_] = sorted((tmp_path / "pack" / "train").iterdir())  # with images 2 and 3
    corrupt(second)
    with pytest.raises(BoxlineError, match=r"member 2\.png does not decode"):
        pack_photos(tmp_path, unreadable(photos))
    only_these_read = [replace(photo, readable=photo.image_id in (2, 3)) for photo in photos]
    assert contents(pack_photos(tmp_path, only_these_read)) == expected


@pytest.mark.parametrize("corrupt", CORRUPTIONS)
def test_no_rows_are_copied_from_corrupt_shard(tmp_path: Path, corrupt: Callable[[Path], None]) -> None:
    photos = [make_photo(i) for i in range(1, 8)]
    pack_photos(tmp_path, photos)
    [_, second, *_] = sorted((tmp_path / "pack" / "train").iterdir())
    corrupt(second)
    changed = [make_photo(2, value=90), *(photo for photo in photos if photo.image_id != 2)]
    assert contents(pack_photos(tmp_path, changed)) == pack_from_scratch(tmp_path, changed)


def test_hard_links_into_a_cache_are_never_written_to(tmp_path: Path) -> None:
    """DVC leaves its outputs so if `cache.type` is hardlink."""
    photos = [make_photo(i) for i in range(1, 8)]
    out, cache = pack_photos(tmp_path, photos), tmp_path / "cache"
    cache.mkdir()
    for path in out.rglob("*.*"):
        path.chmod(0o444)
        os.link(path, cache / path.name)
    cached = contents(cache)
    changed = [*unreadable(photos[:3]), make_photo(6, value=90)]
    assert contents(pack_photos(tmp_path, changed)) == pack_from_scratch(tmp_path, changed)
    assert contents(cache) == cached


def test_previous_pack_on_another_disk_is_copied(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is not a second file system")
    photos = [make_photo(i) for i in range(1, 8)]
    expected = contents(pack_photos(tmp_path, photos))
    moved = elsewhere / f"boxline-{os.getpid()}"
    try:
        shutil.move(tmp_path / "pack", moved)
        assert contents(pack_photos(tmp_path, unreadable(photos), previous=moved)) == expected
    finally:
        shutil.rmtree(moved)


# Interrupted runs


def test_next_run_reuses_shards_of_failed_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos = [make_photo(i) for i in range(1, 8)]
    with ThreadPoolExecutor(1) as one_by_one, pytest.raises(BoxlineError, match=r"member 6\.png does not decode"):
        pack_photos(tmp_path, [*photos[:5], *unreadable(photos[5:])], executor=one_by_one)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pack.partial", "images.zip"]
    caplog.set_level(logging.INFO)
    corrected = [*unreadable(photos[:5]), *photos[5:]]
    # Shards of two: 1, 2-3, 4-5, 6-7.
    assert contents(pack_photos(tmp_path, corrected)) == pack_from_scratch(tmp_path, photos)
    assert ": 2 decoded, 0 copied, 5 in unchanged shards" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.zip", "pack"]


def test_failed_run_leaves_previous_pack_unchanged(tmp_path: Path) -> None:
    photos = [make_photo(i) for i in range(1, 8)]
    expected = contents(pack_photos(tmp_path, photos))
    with pytest.raises(BoxlineError, match=r"member 9\.png does not decode"):
        pack_photos(tmp_path, [*photos[2:], *unreadable([make_photo(9)])])
    assert contents(tmp_path / "pack") == expected


def test_leftovers_of_interrupted_run_with_other_images_are_deleted(tmp_path: Path) -> None:
    partial = tmp_path / ".pack.partial"
    other = [make_photo(i, split="test") for i in range(1, 30)]
    pack_photos(tmp_path / "other", other)
    shutil.copytree(tmp_path / "other" / "pack", partial)
    (partial / "test" / ".0000000000000000001-0123456789abcdef.partial.arrow").write_bytes(b"half a shard")
    photos = [make_photo(i) for i in range(1, 8)]
    assert contents(pack_photos(tmp_path, photos)) == pack_from_scratch(tmp_path, photos)
    assert not (tmp_path / "pack" / "test").exists()


def test_corrupt_shard_of_interrupted_run_is_replaced(tmp_path: Path) -> None:
    photos = [make_photo(i) for i in range(1, 8)]
    expected = contents(pack_photos(tmp_path, photos))
    (tmp_path / "pack").rename(tmp_path / ".pack.partial")
    for path in (tmp_path / ".pack.partial").rglob("*.arrow"):
        truncate(path)
    assert contents(pack_photos(tmp_path, photos)) == expected


# Executors


def test_processes_and_threads_pack_the_same_bytes(tmp_path: Path) -> None:
    photos = [make_photo(i, value=10 * i) for i in range(1, 8)]
    # Not forked: the parent has threads.
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        assert contents(pack_photos(tmp_path, photos, executor=processes)) == pack_from_scratch(tmp_path, photos)
        grown = [*unreadable(photos), make_photo(9)]
        assert contents(pack_photos(tmp_path, grown, executor=processes)) == pack_from_scratch(tmp_path, grown)
        with pytest.raises(BoxlineError, match=r"member 11\.png does not decode"):
            pack_photos(tmp_path, unreadable([make_photo(11)]), executor=processes)


class RecordingExecutor(ThreadPoolExecutor):
    """Records the size of tasks and results and the number of unfinished tasks."""

    def __init__(self) -> None:
        super().__init__(2)
        self.unfinished = self.most_unfinished = self.task_bytes = self.result_bytes = 0

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        self.task_bytes = max(self.task_bytes, len(pickle.dumps((function, arguments, options))))
        self.unfinished += 1
        self.most_unfinished = max(self.most_unfinished, self.unfinished)
        future = super().submit(function, *arguments, **options)
        future.add_done_callback(self._record)
        return future

    def _record(self, future: Future[Any]) -> None:
        self.unfinished -= 1
        self.result_bytes = max(self.result_bytes, len(pickle.dumps(future.result())))


def test_few_tasks_are_queued_and_hold_no_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packer, "QUEUED_SHARDS", 3)
    photos = [make_photo(i) for i in range(1, 41)]
    large = replace_pack(PACK, image_size=128, shard_images=4)
    with RecordingExecutor() as executor:
        packed = contents(pack_photos(tmp_path, photos, large, executor))
    assert packed == pack_from_scratch(tmp_path, photos, large)
    assert 1 < executor.most_unfinished <= 3
    assert executor.task_bytes < 4 * 500  # an image has 49,152 bytes of pixels
    assert executor.result_bytes < 100


def test_shard_of_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [make_photo(i, value=10 * i) for i in range(1, 8)]
    one = replace_pack(PACK, shard_images=8)
    expected = Shards(pack_photos(tmp_path / "one_batch", photos, one), "train").take("image", np.arange(7))
    monkeypatch.setattr(packed_shard, "BATCH_BYTES", 3 * 32 * 32 * 3 + 1)  # three images and not four
    [shard] = (pack_photos(tmp_path, photos, one) / "train").iterdir()
    with pa.OSFile(str(shard)) as file:
        reader = pa.ipc.open_file(file)
        assert [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)] == [3, 3, 1]
    np.testing.assert_array_equal(Shards(tmp_path / "pack", "train").take("image", np.arange(7)), expected)
    # Copied pixels do not depend on the batches either.
    six = [*unreadable(photos[:3]), *unreadable(photos[4:])]
    assert contents(pack_photos(tmp_path, six, one)) == pack_from_scratch(tmp_path, six, one)


# Packs the images of an archive and prints the peak memory in MB.
PEAK_MEMORY = """
import resource, sys
from pathlib import Path
from tests.packing.test_packer import PackConfig, make_photo, pack_photos
count, folder = int(sys.argv[1]), Path(sys.argv[2])
pack = PackConfig(image_size=448, channels=3, resize="letterbox", shard_images=4096)
pack_photos(folder, [make_photo(i) for i in range(1, count + 1)], pack)
pack_photos(folder, [make_photo(i) for i in range(3, count + 1)], pack)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_memory_is_independent_of_image_count_and_shard_length(tmp_path: Path) -> None:
    peaks = []
    for count in (50, 500):  # 30 and 300 MB of pixels
        command = [sys.executable, "-c", PEAK_MEMORY, str(count), str(tmp_path / str(count))]
        result = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
        peaks.append(float(result.stdout))
    assert peaks[1] < peaks[0] + 50


# The contents of a pack depend on the images alone

PHOTOS = st.dictionaries(
    st.integers(1, 30),
    st.builds(
        lambda value, size, split: (value, size, split),
        st.integers(1, 3),
        st.sampled_from([(12, 7), (7, 12)]),
        st.sampled_from(["train", "val"]),
    ),
    min_size=1,
)


def photos_of(images: dict[int, tuple[int, tuple[int, int], str]]) -> list[Photo]:
    return [make_photo(i, value + 3 * i, split, *size) for i, (value, size, split) in images.items()]


@settings(max_examples=25)
@given(
    histories=st.lists(PHOTOS, min_size=2, max_size=4),
    leftovers=PHOTOS,
    shard_images=st.sampled_from([1, 3, 8]),
)
def test_result_equals_that_of_a_fresh_run_whatever_was_packed_before(
    tmp_path_factory: pytest.TempPathFactory,
    histories: list[dict[int, Any]],
    leftovers: dict[int, Any],
    shard_images: int,
) -> None:
    folder = tmp_path_factory.mktemp("packs")
    pack = replace_pack(PACK, image_size=8, shard_images=shard_images)
    stopped = photos_of(leftovers)
    pack_photos(folder / "stopped", stopped, pack)
    shutil.copytree(folder / "stopped" / "pack", folder / ".pack.partial")
    known = {(photo.content, photo.width) for photo in stopped}
    for images in histories:
        photos = photos_of(images)
        decoded_once = [replace(photo, readable=(photo.content, photo.width) not in known) for photo in photos]
        assert contents(pack_photos(folder, decoded_once, pack)) == pack_from_scratch(folder, photos, pack)
        known = {(photo.content, photo.width) for photo in photos}
    shutil.rmtree(folder)
