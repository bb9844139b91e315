import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline import schema
from pipeline.errors import BoxlineError
from pipeline.geometry.placement import center_crop, letterbox, stretch
from pipeline.storage.archives import ArchiveFolder, write_archive
from pipeline.storage.packing import pack_images, read_placements
from pipeline.storage.params import Pack
from pipeline.storage.shards import Shards

GREY = Pack(image_size=32, channels=1, resize="letterbox", shard_images=2)
PACK = Pack(image_size=32, channels=3, resize="letterbox", shard_images=2)


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


def image_row(image_id: int, split: str, member: str, width: int, height: int) -> dict[str, object]:
    return {
        "image_id": image_id,
        "split": split,
        "file_name": member,
        "width": width,
        "height": height,
        "archive": "images.zip",
        "member": member,
    }


def pack_members(folder: Path, members: dict[str, bytes], rows: list[dict[str, object]], pack: Pack = PACK) -> Path:
    write_archive(folder / "images.zip", members.items())
    out = folder / "out"
    out.mkdir()
    with ThreadPoolExecutor(2) as executor:
        pack_images(pa.Table.from_pylist(rows, schema.IMAGES), ArchiveFolder(folder), pack, out, executor)
    return out


def test_images_are_placed_in_order_over_shards_and_splits(tmp_path: Path) -> None:
    sizes = {9: (64, 40), 3: (20, 60), 7: (33, 33), 5: (64, 64)}
    members = {f"{i}.png": png(scene(*size, value=200)) for i, size in sizes.items()}
    splits = {9: "train", 3: "train", 7: "train", 5: "val"}
    rows = [image_row(i, splits[i], f"{i}.png", *size) for i, size in sizes.items()]
    out = pack_members(tmp_path, members, rows)
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == [
        "index.parquet",
        "train/00000.arrow",
        "train/00001.arrow",
        "val/00000.arrow",
    ]
    shards = Shards(out, "train")
    assert shards.image_ids.tolist() == [9, 3, 7]
    placements = read_placements(out, "train")
    assert placements == {i: letterbox(*sizes[i], 32) for i in (9, 3, 7)}
    # 64 x 40 at half size is 32 x 20 with 6 black rows above; red is left, RGB order kept
    first = shards.take("image", np.array([0]))[0]
    assert first[16, 2].tolist() == [200, 0, 0]
    assert first[16, 30].tolist() == [0, 200, 0]
    assert first[5].max() == 0
    assert first[6].max() == 200


def test_grey_and_one_channel(tmp_path: Path) -> None:
    members = {"a.png": png(np.full((32, 32), 77, np.uint8))}
    out = pack_members(
        tmp_path,
        members,
        [image_row(1, "train", "a.png", 32, 32)],
        Pack(image_size=32, channels=1, resize="letterbox", shard_images=9),
    )
    assert (Shards(out, "train").take("image", np.array([0])) == 77).all()


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    members = {"a.png": png(np.full((32, 32), 77 * 257, np.uint16))}
    out = pack_members(tmp_path, members, [image_row(1, "train", "a.png", 32, 32)], GREY)
    assert (Shards(out, "train").take("image", np.array([0])) == 77).all()


def test_crop_moves_the_pixels_and_leaves_the_boxes_with_the_letterbox(tmp_path: Path) -> None:
    members = {"a.png": png(scene(64, 32, value=200))}
    crop = Pack(image_size=32, channels=3, resize="crop", shard_images=9)
    out = pack_members(tmp_path, members, [image_row(1, "train", "a.png", 64, 32)], crop)
    square = Shards(out, "train").take("image", np.array([0]))[0]
    np.testing.assert_array_equal(square, center_crop(64, 32, 32).image_to_square(scene(64, 32, 200)))
    assert read_placements(out, "train") == {1: letterbox(64, 32, 32)}


def test_stretch_moves_pixels_and_boxes_alike(tmp_path: Path) -> None:
    members = {"a.png": png(scene(64, 16, value=200))}
    stretched = Pack(image_size=32, channels=3, resize="stretch", shard_images=9)
    out = pack_members(tmp_path, members, [image_row(1, "train", "a.png", 64, 16)], stretched)
    square = Shards(out, "train").take("image", np.array([0]))[0]
    assert (square[:, :16] == [200, 0, 0]).all()
    assert (square[:, 16:] == [0, 200, 0]).all()
    assert read_placements(out, "train") == {1: stretch(64, 16, 32)}


def test_orientation_tags_are_not_applied(tmp_path: Path) -> None:
    """COCO's boxes refer to the stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6  # viewers turn it by 90 degrees
    members = {"a.png": png(scene(64, 32, value=200), exif=exif)}
    out = pack_members(tmp_path, members, [image_row(1, "train", "a.png", 64, 32)])
    square = Shards(out, "train").take("image", np.array([0]))[0]
    assert square[16, 2].tolist() == [200, 0, 0]
    assert square[16, 30].tolist() == [0, 200, 0]


def failure(folder: Path, content: bytes, width: int, height: int) -> str:
    with pytest.raises(BoxlineError) as raised:
        pack_members(folder, {"a.png": content}, [image_row(1, "train", "a.png", width, height)])
    return str(raised.value)


def test_an_image_that_is_cut_off(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    assert failure(tmp_path, png(noise)[:900], 40, 40).startswith(
        f"{tmp_path}/images.zip: member a.png does not decode ("
    )


def test_a_page_in_place_of_an_image(tmp_path: Path) -> None:
    message = failure(tmp_path, b"<html>", 40, 40)
    assert message.startswith(f"{tmp_path}/images.zip: member a.png does not decode (no known image format). ")
    assert message.endswith("Replace the image, or drop its annotations.")


def test_an_image_of_another_size_than_stated(tmp_path: Path) -> None:
    assert failure(tmp_path, png(scene(64, 32, 200)), 32, 64) == (
        f"{tmp_path}/images.zip: member a.png is 64 x 32 pixels, its annotation says 32 x 64. "
        "Correct the annotation or the image."
    )
