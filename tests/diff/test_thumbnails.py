import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import BoxlineError
from pipeline.diff.difference import Snapshot
from pipeline.diff.revisions import folder_of_tables
from pipeline.diff.thumbnails import MAX_SIDE, ThumbnailReader
from tests.support import diff_scene as scene


def written(folder: Path, content: bytes, width: int, height: int) -> tuple[ThumbnailReader, dict[str, Any]]:
    """Write a dataset with one image; return its reader and the image's row."""
    row = scene.row(7, "val", width, height)
    version = folder_of_tables(scene.write_version(folder / "one", [row], [], {7: content}, {2: "cat"}))
    return ThumbnailReader(version, "one"), Snapshot.read(version, "one").images.to_pylist()[0]


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    return image


def test_thumbnails_come_from_own_version(tmp_path: Path) -> None:
    colors = []
    for version, name in zip(scene.versions(tmp_path), ("old", "new"), strict=True):
        rows = {row["image_id"]: row for row in Snapshot.read(version, name).images.to_pylist()}
        image = opened(ThumbnailReader(version, name).read_jpeg(rows[scene.OTHER_PIXELS]))
        colors.append((image.size, np.asarray(image)[-10, -10].tolist()))
    (size_before, color_before), (size_after, color_after) = colors
    assert (size_before, size_after) == ((40, 60), (60, 40))
    assert color_before == pytest.approx([20, 160, 40], abs=4)
    assert color_after == pytest.approx([200, 200, 20], abs=4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_large_image_is_scaled_down_with_its_aspect_ratio(tmp_path: Path, kind: str) -> None:
    pixels, row = written(tmp_path, scene.encoded_image(1500, 900, (10, 90, 200), kind), 1500, 900)
    image = opened(pixels.read_jpeg(row))
    assert image.size == (MAX_SIDE, 384)
    shown = np.asarray(image)
    assert shown[20, 20].tolist() == pytest.approx([255, 255, 255], abs=3)
    assert shown[-20, -20].tolist() == pytest.approx([10, 90, 200], abs=4)


def test_orientation_tag_is_not_applied(tmp_path: Path) -> None:
    """Boxes refer to the pixels as they are stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels, row = written(tmp_path, scene.encoded_image(64, 48, (10, 90, 200), "JPEG", exif=exif), 64, 48)
    image = opened(pixels.read_jpeg(row))
    assert image.size == (64, 48)
    assert not image.getexif()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
def test_all_pixel_formats_are_supported(tmp_path: Path, mode: str) -> None:
    gray = Image.fromarray(np.full((8, 12), 30000, np.uint16)) if mode == "I;16" else Image.new("L", (12, 8), 117)
    buffer = io.BytesIO()
    (gray if mode == "I;16" else gray.convert(mode)).save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    pixels, row = written(tmp_path, buffer.getvalue(), 12, 8)
    shown = np.asarray(opened(pixels.read_jpeg(row)))
    assert shown.shape == (8, 12, 3)
    if mode != "1":
        assert shown.mean() == pytest.approx(117, abs=3)


def test_file_with_other_digest_is_rejected(tmp_path: Path) -> None:
    pixels, row = written(tmp_path, scene.RED, 64, 48)
    with pytest.raises(BoxlineError) as raised:
        pixels.read_jpeg({**row, "sha256": scene.digest(b"another")})
    assert str(raised.value) == f"zips/all.zip of {tmp_path}/one/validate has another file of that name now."


def test_missing_digest_accepts_any_file(tmp_path: Path) -> None:
    pixels, row = written(tmp_path, scene.RED, 64, 48)
    assert opened(pixels.read_jpeg({**row, "sha256": None})).size == (64, 48)


def test_missing_archive_is_reported(tmp_path: Path) -> None:
    pixels, row = written(tmp_path, scene.RED, 64, 48)
    (tmp_path / "one" / "download" / "zips" / "all.zip").unlink()
    with pytest.raises(BoxlineError) as raised:
        pixels.read_jpeg(row)
    assert str(raised.value) == f"zips/all.zip of {tmp_path}/one/validate is not on this machine."


def test_corrupt_image_does_not_affect_others(tmp_path: Path) -> None:
    version, _ = scene.versions(tmp_path)
    path = tmp_path / "old" / "download" / "zips" / "all.zip"
    content = path.read_bytes()
    assert content.count(scene.RED) == 1
    path.write_bytes(content.replace(scene.RED, scene.RED[:-9] + b"different"))
    rows = {row["image_id"]: row for row in Snapshot.read(version, "old").images.to_pylist()}
    pixels = ThumbnailReader(version, "old")
    assert opened(pixels.read_jpeg(rows[scene.OTHER_PIXELS])).size == (40, 60)
    with pytest.raises(BoxlineError) as raised:
        pixels.read_jpeg(rows[scene.EDITED])
    assert str(raised.value).startswith(f"{path}: member images/7.png is corrupt (its CRC is ")
