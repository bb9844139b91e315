"""The plot of training samples: a painted rectangle must lie inside the box that is drawn for it."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.zip_archive import write_archive
from pipeline.core.errors import BoxlineError
from pipeline.evaluation.sample_grid import select_samples, write_samples, write_target_plot
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.packing.config import PackConfig
from pipeline.packing.packer import pack_images
from pipeline.packing.shards import Shards, shard_path, write_shard
from pipeline.plots.colors import class_color
from pipeline.plots.grid_view import draw_target_classes
from pipeline.plots.image_grid import DOTS_PER_INCH, TILE_INCHES
from pipeline.systems.coco_yolo.config import TargetsConfig
from pipeline.systems.coco_yolo.targets import GridCodec
from pipeline.systems.common.labels import Labels
from tests.support.drawn_pixels import extent_in, pixels_of, shows
from tests.support.scenes import box, files_of, image, tables

WIDTH, HEIGHT = 200, 100
RED = (1, 0, 0)


def plot_sample(folder: Path, resize: Literal["letterbox", "crop"]) -> np.ndarray:
    """The only tile of a scene with a red rectangle at (10, 20), 60 wide and 50 high, and its box."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[20:70, 10:70] = [255, 0, 0]
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    rows = tables([image(7, "train", WIDTH, HEIGHT)], [box(1, 7, 5, (10, 20, 60, 50))])
    write_archive(folder / "zips" / "train2017.zip", [("train2017/000000000007.jpg", content.getvalue())])
    pack = PackConfig(image_size=100, channels=3, resize=resize, shard_images=2)
    (folder / "pack").mkdir()
    with ThreadPoolExecutor(1) as executor:
        pack_images(
            rows.images,
            files_of(rows.images),
            ArchiveFolder(folder),
            pack,
            folder / "previous",
            folder / "pack",
            executor,
        )
    write_samples(folder / "samples.png", folder / "pack", rows)
    shown = pixels_of(folder / "samples.png")
    assert shown.shape[:2] == (round(TILE_INCHES * DOTS_PER_INCH),) * 2
    return shown


def test_boxes_fit_letterboxed_pixels(tmp_path: Path) -> None:
    shown = plot_sample(tmp_path, "letterbox")
    # Half the size, 25 px of padding above: 0.05, 0.35 to 0.35, 0.60. Category 5 is the second: class index 1.
    assert extent_in(shown, RED) == pytest.approx([0.05, 0.35, 0.35, 0.60], abs=0.02)
    drawn = extent_in(shown, class_color(1))
    assert drawn[0] == pytest.approx(0.05, abs=0.02)
    assert drawn[2:] == pytest.approx([0.35, 0.60], abs=0.02)


def test_plot_shows_that_boxes_do_not_fit_cropped_pixels(tmp_path: Path) -> None:
    """The published code has this mistake."""
    shown = plot_sample(tmp_path, "crop")
    # Full size, cropped by 50 px at the left: 0, 0.20 to 0.20, 0.70. The box is where the letterbox has it.
    left, top, right, bottom = extent_in(shown, RED)
    assert (left, top, right, bottom) == pytest.approx((0, 0.20, 0.20, 0.70), abs=0.03)
    assert extent_in(shown, class_color(1))[2:] == pytest.approx([0.35, 0.60], abs=0.02)


def test_target_plot_shows_the_boxes_and_the_class_map_that_the_targets_hold(tmp_path: Path) -> None:
    """Of two boxes with their centers in one cell, the plot lacks the one that the targets lost."""
    model_inputs = np.zeros((1, 40, 40, 3), np.uint8)
    write_shard(shard_path(tmp_path / "pack", "train", 0), np.array([7]), {"image": model_inputs})
    codec = GridCodec()
    config = TargetsConfig(grid_size=4, max_boxes=None, tie_break="last", boxes_per_cell=1, crowd="encode")
    boxes = LabeledBoxes(np.array([[0.05, 0.3, 0.9, 0.4], [0.45, 0.4, 0.25, 0.25]]), np.array([1, 2]))
    columns = {name: np.stack([values]) for name, values in codec.encode(boxes, config).items()}
    write_shard(shard_path(tmp_path / "targets", "train", 0), np.array([7]), columns)
    labels = Labels(np.array([0, 1, 2], np.int32), ["nothing", "", ""])
    path = tmp_path / "targets.png"
    write_target_plot(
        path, tmp_path / "pack", Shards(tmp_path / "targets", "train"), codec, labels, draw_target_classes
    )
    shown = pixels_of(path)
    assert extent_in(shown, class_color(2))[2:] == pytest.approx([0.7, 0.65], abs=0.02)
    assert not shows(shown, class_color(1))  # the box; its cells are tinted
    tinted = shown[int(len(shown) * 0.62), int(len(shown) * 0.1)]
    np.testing.assert_allclose(tinted, 0.45 * np.array(class_color(1)), atol=0.03)
    np.testing.assert_allclose(shown[int(len(shown) * 0.1), int(len(shown) * 0.1)], 0, atol=0.03)


def test_nine_samples_are_evenly_spaced_over_images_having_boxes() -> None:
    ids = np.arange(100, 200)
    assert select_samples(ids, np.arange(90, 150)).tolist() == [100, 106, 112, 118, 124, 131, 137, 143, 149]
    assert select_samples(ids[:4], ids).tolist() == [100, 101, 102, 103]
    assert select_samples(ids[:2], np.empty(0, int)).tolist() == [100, 101]


def test_pack_without_training_images_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        write_samples(tmp_path / "samples.png", tmp_path, tables([], []))
    assert str(raised.value) == f"{tmp_path} holds no images of split 'train'. Check `split` in params.yaml."
