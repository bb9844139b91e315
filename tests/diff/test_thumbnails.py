import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import BoxlineError
from pipeline.diff.difference import Side
from pipeline.diff.revisions import folder_of_tables
from pipeline.diff.thumbnails import MAX_SIDE, Pixels
from tests.support import diff_scene as scene


def written(folder: Path, content: bytes, width: int, height: int) -> tuple[Pixels, dict[str, Any]]:
    """The pixels of a dataset with one image, and its row."""
    row = scene.row(7, "val", width, height)
    version = folder_of_tables(scene.write_version(folder / "one", [row], [], {7: content}, {2: "cat"}))
    return Pixels(version, "one"), Side.read(version, "one").images.to_pylist()[0]


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    return image


def test_each_version_has_its_own_pixels(tmp_path: Path) -> None:
    colors = []
    for version, name in zip(scene.versions(tmp_path), ("old", "new"), strict=True):
        rows = {row["image_id"]: row for row in Side.read(version, name).images.to_pylist()}
        image = opened(Pixels(version, name).small_jpeg(rows[scene.OTHER_PIXELS]))
        colors.append((image.size, np.asarray(image)[-10, -10].tolist()))
    (size_before, color_before), (size_after, color_after) = colors
    assert (size_before, size_after) == ((40, 60), (60, 40))
    assert color_before == pytest.approx([20, 160, 40], abs=4)
    assert color_after == pytest.approx([200, 200, 20], abs=4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_large_image_is_made_small_and_keeps_its_shape(tmp_path: Path, kind: str) -> None:
    pixels, row = written(tmp_path, scene.picture(1500, 900, (10, 90, 200), kind), 1500, 900)
    image = opened(pixels.small_jpeg(row))
    assert image.size == (MAX_SIDE, 384)
    shown = np.asarray(image)
    assert shown[20, 20].tolist() == pytest.approx([255, 255, 255], abs=3)
    assert shown[-20, -20].tolist() == pytest.approx([10, 90, 200], abs=4)


def test_an_image_is_not_turned(tmp_path: Path) -> None:
    """Boxes refer to the pixels as they are stored, whatever its orientation tag asks of a viewer."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels, row = written(tmp_path, scene.picture(64, 48, (10, 90, 200), "JPEG", exif=exif), 64, 48)
    image = opened(pixels.small_jpeg(row))
    assert image.size == (64, 48)
    assert not image.getexif()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
def test_every_kind_of_pixels_is_shown(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.full((8, 12), 30000, np.uint16)) if mode == "I;16" else Image.new("L", (12, 8), 117)
    buffer = io.BytesIO()
    (grey if mode == "I;16" else grey.convert(mode)).save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    pixels, row = written(tmp_path, buffer.getvalue(), 12, 8)
    shown = np.asarray(opened(pixels.small_jpeg(row)))
    assert shown.shape == (8, 12, 3)
    if mode != "1":
        assert shown.mean() == pytest.approx(117, abs=3)


def test_a_file_that_is_no_longer_the_one_of_the_tables_is_not_shown(tmp_path: Path) -> None:
    pixels, row = written(tmp_path, scene.RED, 64, 48)
    with pytest.raises(BoxlineError) as raised:
        pixels.small_jpeg({**row, "sha256": scene.digest(b"another")})
    assert str(raised.value) == f"zips/all.zip of {tmp_path}/one/validate has another file of that name now."


def test_without_digests_the_file_of_that_name_is_shown(tmp_path: Path) -> None:
    pixels, row = written(tmp_path, scene.RED, 64, 48)
    assert opened(pixels.small_jpeg({**row, "sha256": None})).size == (64, 48)


def test_an_archive_that_is_not_here_is_named(tmp_path: Path) -> None:
    pixels, row = written(tmp_path, scene.RED, 64, 48)
    (tmp_path / "one" / "download" / "zips" / "all.zip").unlink()
    with pytest.raises(BoxlineError) as raised:
        pixels.small_jpeg(row)
    assert str(raised.value) == f"zips/all.zip of {tmp_path}/one/validate is not on this machine."


def test_a_damaged_image_harms_no_other(tmp_path: Path) -> None:
    version, _ = scene.versions(tmp_path)
    path = tmp_path / "old" / "download" / "zips" / "all.zip"
    content = path.read_bytes()
    assert content.count(scene.RED) == 1
    path.write_bytes(content.replace(scene.RED, scene.RED[:-9] + b"different"))
    rows = {row["image_id"]: row for row in Side.read(version, "old").images.to_pylist()}
    pixels = Pixels(version, "old")
    assert opened(pixels.small_jpeg(rows[scene.OTHER_PIXELS])).size == (40, 60)
    with pytest.raises(BoxlineError) as raised:
        pixels.small_jpeg(rows[scene.EDITED])
    assert str(raised.value).startswith(f"{path}: member images/7.png is damaged (its CRC is ")
