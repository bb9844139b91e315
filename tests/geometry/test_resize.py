"""Transforms checked against pixels: an object is painted, the image resized, and the box must enclose the object."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.geometry.boxes import Boxes
from pipeline.geometry.resize import CreateTransform, ResizeTransform, center_crop, letterbox, stretch

SIDES = st.integers(1, 700)
SIZES = st.integers(1, 300)


def paint(width: int, height: int, box_xywh: tuple[int, int, int, int]) -> np.ndarray:
    """Paint a white object on black: every pixel of the box and no other."""
    x, y, box_width, box_height = box_xywh
    image = np.zeros((height, width, 3), np.uint8)
    image[y : y + box_height, x : x + box_width] = 255
    return image


def visible_box(model_input: np.ndarray, threshold: int) -> tuple[int, ...]:
    """Return left, top, right and bottom in pixels of the area that is at least that bright."""
    bright = model_input[..., 0] >= threshold
    columns, rows = np.flatnonzero(bright.any(axis=0)), np.flatnonzero(bright.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def edges_in_pixels(transform: ResizeTransform, box_xywh: tuple[int, ...]) -> Boxes:
    x, y, width, height = transform.apply_boxes([box_xywh])[0] * transform.size
    return np.array([x, y, x + width, y + height])


@pytest.mark.parametrize("create_transform", [letterbox, stretch])
@pytest.mark.parametrize(
    ("image_size", "box_xywh", "size"),
    [
        pytest.param((640, 427), (100, 50, 200, 75), 160, id="wide"),
        pytest.param((427, 640), (13, 400, 111, 203), 160, id="tall"),
        pytest.param((333, 217), (1, 3, 50, 29), 161, id="odd"),
        pytest.param((97, 101), (11, 7, 13, 31), 448, id="enlarged"),
        pytest.param((160, 160), (0, 0, 160, 160), 160, id="the whole image"),
        pytest.param((500, 2), (100, 0, 300, 2), 100, id="a line"),
        pytest.param((1, 500), (0, 200, 1, 100), 100, id="one pixel wide"),
        pytest.param((1, 1), (0, 0, 1, 1), 48, id="one pixel"),
    ],
)
def test_painted_object_matches_transformed_box(
    create_transform: CreateTransform, image_size: tuple[int, int], box_xywh: tuple[int, int, int, int], size: int
) -> None:
    transform = create_transform(*image_size, size)
    model_input = transform.apply_image(paint(*image_size, box_xywh))
    edges = edges_in_pixels(transform, box_xywh)
    # Resizing mixes neighboring pixels: the object is at least half bright, and its edges match the box to the pixel.
    np.testing.assert_allclose(visible_box(model_input, threshold=128), edges, atol=0.5 + 1e-9)


@pytest.mark.parametrize("image_size", [(320, 160), (160, 320), (640, 320), (160, 96)])
def test_integer_scales_map_edges_exactly(image_size: tuple[int, int]) -> None:
    box_xywh = (16, 32, 48, 64)
    transform = letterbox(*image_size, 160)
    model_input = transform.apply_image(paint(*image_size, box_xywh))
    # No pixel mixes object and background, so the object keeps its brightness and all else is black.
    assert visible_box(model_input, threshold=255) == tuple(edges_in_pixels(transform, box_xywh))
    assert visible_box(model_input, threshold=1) == visible_box(model_input, threshold=255)


def test_letterbox_of_hand_computed_image() -> None:
    # 640 x 426 -> 160 x 106 (106.5 rounds to even), 27 black rows above and below
    transform = letterbox(640, 426, 160)
    assert (transform.left, transform.top) == (0, 27)
    [box] = transform.apply_boxes([[64, 213, 32, 42.6]])
    assert box.tolist() == pytest.approx([16 / 160, (27 + 53) / 160, 8 / 160, 10.6 / 160])
    model_input = transform.apply_image(np.full((426, 640, 3), 9, np.uint8))
    assert model_input.shape == (160, 160, 3)
    assert (model_input[27:133] == 9).all()
    assert not model_input[:27].any()
    assert not model_input[133:].any()


def test_center_crop_cuts_the_longer_side() -> None:
    transform = center_crop(640, 320, 160)
    image = np.zeros((320, 640, 1), np.uint8)
    image[:, 160:480] = 200  # exactly the part that remains
    assert (transform.apply_image(image) == 200).all()
    # A box at the left edge of the image is outside of the model input.
    assert transform.apply_boxes([[0, 0, 160, 320]])[0].tolist() == [-0.5, 0, 0.5, 1]


def test_stretch_of_hand_computed_image() -> None:
    # 640 x 320 -> 160 x 160: a quarter across, half down
    transform = stretch(640, 320, 160)
    assert transform.apply_boxes([[64, 200, 32, 43]])[0].tolist() == [16 / 160, 100 / 160, 8 / 160, 21.5 / 160]
    assert transform.inverse_boxes([[0.1, 0.625, 0.05, 0.25]])[0].tolist() == pytest.approx([64, 200, 32, 80])
    model_input = transform.apply_image(paint(640, 320, (64, 200, 32, 80)))
    assert visible_box(model_input, threshold=255) == visible_box(model_input, threshold=1) == (16, 100, 24, 140)


@given(SIDES, SIDES, SIZES)
def test_stretch_fills_model_input_and_keeps_fractions(width: int, height: int, size: int) -> None:
    transform = stretch(width, height, size)
    boxes_xywh = np.array([[0, 0, width, height], [width / 3, height / 7, width / 2, height / 5]])
    expected = [[0, 0, 1, 1], [1 / 3, 1 / 7, 1 / 2, 1 / 5]]
    np.testing.assert_allclose(transform.apply_boxes(boxes_xywh), expected, atol=1e-12)
    model_input = transform.apply_image(np.full((height, width, 3), 77, np.uint8))
    assert model_input.shape == (size, size, 3)
    assert (model_input == 77).all()


def test_shrinking_axis_is_averaged_while_the_other_one_grows() -> None:
    columns = np.random.default_rng(3).integers(0, 256, 640).astype(np.uint8)
    wide = np.broadcast_to(columns[None, :, None], (20, 640, 1)).copy()
    means = columns.reshape(80, 8).mean(axis=1)
    np.testing.assert_allclose(stretch(640, 20, 80).apply_image(wide)[..., 0], np.tile(means, (80, 1)), atol=0.51)
    tall = np.ascontiguousarray(wide.transpose(1, 0, 2))
    np.testing.assert_allclose(stretch(20, 640, 80).apply_image(tall)[..., 0].T, np.tile(means, (80, 1)), atol=0.51)


@given(SIDES, SIDES, SIZES, st.sampled_from([letterbox, center_crop, stretch]))
@example(1, 700, 1, letterbox)
@example(1, 700, 1, stretch)
def test_inverse_boxes_is_exact(width: int, height: int, size: int, create_transform: CreateTransform) -> None:
    transform = create_transform(width, height, size)
    boxes_xywh = np.array([[0, 0, width, height], [width / 3, height / 7, width / 2, height / 5]])
    restored = transform.inverse_boxes(transform.apply_boxes(boxes_xywh))
    np.testing.assert_allclose(restored, boxes_xywh, atol=1e-9 * max(width, height))


@given(SIDES, SIDES, SIZES)
def test_letterbox_contains_whole_image_and_fills_one_side(width: int, height: int, size: int) -> None:
    transform = letterbox(width, height, size)
    x, y, box_width, box_height = transform.apply_boxes([[0, 0, width, height]])[0] * size
    assert min(x, y) >= -1e-9
    assert max(x + box_width, y + box_height) <= size + 1e-9
    assert max(box_width, box_height) == pytest.approx(size)
    # Centered: the margins differ by at most one pixel.
    assert abs((size - box_width - x) - x) <= 1 + 1e-9
    assert abs((size - box_height - y) - y) <= 1 + 1e-9
    model_input = transform.apply_image(np.full((height, width, 1), 255, np.uint8))
    assert int((model_input > 0).sum()) == transform.scaled_width * transform.scaled_height


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "transform",
    [letterbox(64, 40, 32), letterbox(20, 60, 32), letterbox(20, 12, 32), center_crop(64, 40, 32), stretch(64, 16, 32)],
    ids=["wide", "tall", "enlarged", "cropped", "one axis enlarged"],
)
def test_given_model_input_is_overwritten_completely(transform: ResizeTransform, channels: int) -> None:
    size = (transform.height, transform.width, channels)
    image = np.random.default_rng(1).integers(0, 256, size).astype(np.uint8)
    model_inputs = np.full((3, 32, 32, channels), 99, np.uint8)
    transform.apply_image(image, model_inputs[1])
    np.testing.assert_array_equal(model_inputs[1], transform.apply_image(image))
    assert (model_inputs[[0, 2]] == 99).all()
