"""Pixels and boxes are transformed alike: what is painted inside a box is found inside the transformed box."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.geometry.boxes import xywh_to_xyxy
from pipeline.training.augmentation import augment, jitter_color, random_affine, warp_boxes, warp_image
from pipeline.training.config import AugmentConfig, ColorConfig
from tests.support.scenes import ground_truth

SIZE = 64
BOX_PIXELS = (9, 14, 26, 17)  # left, top, width, height
NEUTRAL = {
    "flip_probability": 0.0,
    "max_translate_fraction": 0.0,
    "scale": (1.0, 1.0),
    "rotate_degrees": 0.0,
    "color": None,
}


def augment_config(**changes: Any) -> AugmentConfig:
    return AugmentConfig(**{**NEUTRAL, **changes})


def painted(*boxes_pixels: tuple[int, int, int, int], channels: int = 1) -> np.ndarray:
    """White rectangles on black."""
    model_input = np.zeros((SIZE, SIZE, channels), np.uint8)
    for left, top, width, height in boxes_pixels:
        model_input[top : top + height, left : left + width] = 255
    return model_input


def edges_of(model_input: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom of the pixels above half brightness, in pixels."""
    rows, columns = np.nonzero(model_input[..., 0] > 127)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def center_of(model_input: np.ndarray) -> np.ndarray:
    """x and y of the center of brightness, in pixels."""
    weights = model_input[..., 0].astype(float)
    pixel_centers = np.arange(SIZE) + 0.5
    return np.array([weights.sum(axis=0) @ pixel_centers, weights.sum(axis=1) @ pixel_centers]) / weights.sum()


def moved(
    changes: AugmentConfig, seed: int, box: tuple[int, int, int, int] = BOX_PIXELS
) -> tuple[np.ndarray, np.ndarray]:
    """A painted box after augmentation: the image, and the edges of the transformed box in pixels."""
    model_input, after = augment(painted(box), ground_truth(np.array(box) / SIZE), changes, np.random.default_rng(seed))
    return model_input, xywh_to_xyxy(after.boxes_rel_xywh)[0] * SIZE


def test_neutral_config_changes_nothing() -> None:
    model_input = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    before = ground_truth([[0.1, 0.2, 0.3, 0.5], [0.25, 0, 0.75, 1]], [3, 1], crowds=[1])
    changed, after = augment(model_input, before, augment_config(), np.random.default_rng(2))
    np.testing.assert_array_equal(changed, model_input)
    np.testing.assert_allclose(after.boxes_rel_xywh, before.boxes_rel_xywh, atol=1e-12)
    assert (after.labels.tolist(), after.is_crowd.tolist()) == ([3, 1], [False, True])


def test_flip_by_hand() -> None:
    model_input = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    before = ground_truth([[0.125, 0.25, 0.25, 0.5]])
    changed, after = augment(model_input, before, augment_config(flip_probability=1.0), np.random.default_rng(2))
    np.testing.assert_array_equal(changed, model_input[:, ::-1])
    assert after.boxes_rel_xywh.tolist() == [[0.625, 0.25, 0.25, 0.5]]


def test_flip_probability() -> None:
    random = np.random.default_rng(3)
    flipped = [random_affine(augment_config(flip_probability=0.25), random)[0, 0] < 0 for _ in range(2000)]
    assert np.mean(flipped) == pytest.approx(0.25, abs=0.04)


def test_scale_by_hand_keeps_the_center() -> None:
    before = ground_truth([[0.25, 0.375, 0.25, 0.125]])
    _, after = augment(painted(), before, augment_config(scale=(1.5, 1.5)), np.random.default_rng(4))
    np.testing.assert_allclose(after.boxes_rel_xywh, [[0.125, 0.3125, 0.375, 0.1875]])


def test_quarter_turn_by_hand() -> None:
    """x' = 1 - y, y' = x: clockwise, since y points down."""
    model_input = np.random.default_rng(5).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    quarter = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(warp_image(model_input, quarter), np.rot90(model_input, -1))
    after = warp_boxes(ground_truth([[0.125, 0.25, 0.5, 0.0625]]), quarter)
    np.testing.assert_allclose(after.boxes_rel_xywh, [[0.6875, 0.125, 0.0625, 0.5]])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"flip_probability": 0.5}, id="flip"),
        pytest.param({"max_translate_fraction": 0.13}, id="translate"),
        pytest.param({"scale": (0.7, 1.3)}, id="scale"),
        pytest.param({"flip_probability": 0.5, "max_translate_fraction": 0.13, "scale": (0.7, 1.3)}, id="together"),
    ],
)
def test_painted_pixels_fill_the_transformed_box_to_half_a_pixel(changes: dict[str, Any]) -> None:
    seen = []
    for seed in range(40):
        model_input, edges = moved(augment_config(**changes), seed)
        assert np.abs(edges_of(model_input) - edges).max() <= 0.51
        seen.append(edges.round(3).tolist())
        if edges.min() > 1 and edges.max() < SIZE - 1:
            np.testing.assert_allclose(center_of(model_input), (edges[:2] + edges[2:]) / 2, atol=0.1)
    assert len({str(edges) for edges in seen}) == (2 if changes == {"flip_probability": 0.5} else 40)


def test_rotated_box_encloses_the_painted_pixels_tightly() -> None:
    """A pixel is lit if its center is covered, so the tip of a corner may be up to a pixel and a half away."""
    widths = []
    for seed in range(40):
        model_input, edges = moved(augment_config(rotate_degrees=30.0), seed)
        assert (np.array([1, 1, -1, -1]) * (edges_of(model_input) - edges) >= -0.51).all()
        assert (np.array([1, 1, -1, -1]) * (edges_of(model_input) - edges) <= 1.51).all()
        np.testing.assert_allclose(center_of(model_input), (edges[:2] + edges[2:]) / 2, atol=0.1)
        widths.append(edges[2] - edges[0])
    assert min(widths) < 28 < 30 < max(widths)  # 26 as painted, 26 cos 30 + 17 sin 30 = 31 at most


DRAWS = st.builds(
    augment_config,
    flip_probability=st.floats(0, 1),
    max_translate_fraction=st.floats(0, 0.5),
    scale=st.tuples(st.floats(0.5, 1), st.floats(1, 2)),
    rotate_degrees=st.floats(0, 180),
)
BOXES = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(6, 40), st.integers(6, 40)).map(
    lambda b: (b[0], b[1], min(b[2], SIZE - b[0]), min(b[3], SIZE - b[1]))
)


@settings(max_examples=150)
@given(DRAWS, BOXES, st.integers(0, 1000))
def test_no_painted_pixel_is_outside_its_box(changes: AugmentConfig, box: tuple[int, int, int, int], seed: int) -> None:
    model_input, edges = moved(changes, seed, box)
    assert (edges >= 0).all()
    assert (edges <= SIZE).all()
    assert (edges[2:] > edges[:2]).all()
    assume((model_input[..., 0] > 127).any())
    left, top, right, bottom = edges_of(model_input)
    assert (np.array([left, top]) >= edges[:2] - 0.51).all()
    assert (np.array([right, bottom]) <= edges[2:] + 0.51).all()


@given(DRAWS, BOXES, st.integers(0, 1000))
def test_points_of_a_box_stay_inside(changes: AugmentConfig, box: tuple[int, int, int, int], seed: int) -> None:
    matrix = random_affine(changes, np.random.default_rng(seed))
    after = warp_boxes(ground_truth(np.array(box) / SIZE), matrix)
    fractions = np.random.default_rng(seed).uniform(size=(50, 2))
    x, y = ((np.array(box[:2]) + fractions * box[2:]) / SIZE).T
    points = np.stack([matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2], matrix[1] @ [x, y, np.ones(50)]], axis=1)
    inside = ((points >= 0) & (points <= 1)).all(axis=1)
    for left, top, right, bottom in xywh_to_xyxy(after.boxes_rel_xywh):
        assert (points[inside] >= [left - 1e-9, top - 1e-9]).all()
        assert (points[inside] <= [right + 1e-9, bottom + 1e-9]).all()


@given(DRAWS, st.integers(0, 1000))
def test_affine_keeps_angles_and_aspect_ratio(changes: AugmentConfig, seed: int) -> None:
    linear = random_affine(changes, np.random.default_rng(seed))[:, :2]
    factor = np.sqrt(abs(np.linalg.det(linear)))
    np.testing.assert_allclose(linear @ linear.T, factor**2 * np.eye(2), atol=1e-9)
    assert changes.scale[0] - 1e-9 <= factor <= changes.scale[1] + 1e-9


SHIFT_LEFT = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, 0.0]])


def test_boxes_are_clipped_and_barely_visible_objects_dropped() -> None:
    """Shifted by half the image, these boxes keep 1/4, a little less, all and none of their width."""
    before = ground_truth([[0.2, 0, 0.4, 0.5], [0.2, 0, 0.39, 0.5], [0.5, 0.5, 0.5, 0.5], [0, 0, 0.5, 1]], [1, 2, 3, 4])
    after = warp_boxes(before, SHIFT_LEFT)
    assert after.labels.tolist() == [1, 3]
    np.testing.assert_allclose(after.boxes_rel_xywh, [[0, 0, 0.1, 0.5], [0, 0.5, 0.5, 0.5]], atol=1e-12)


def test_crowd_region_is_kept_while_any_part_is_visible() -> None:
    before = ground_truth([[0, 0, 0.51, 1], [0, 0, 0.5, 1], [0.6, 0.2, 0.1, 0.1]], [1, 2, 3], crowds=[0, 1])
    assert warp_boxes(before, SHIFT_LEFT).labels.tolist() == [1, 3]


@pytest.mark.parametrize("crowds", [[], [1]])
def test_image_that_would_lose_its_last_object_is_not_moved(crowds: list[int]) -> None:
    """Every image is shifted by up to its whole side: some keep the object, others would lose it."""
    corner, region = (0, 0, 8, 8), (32, 0, 8, 64)
    before = ground_truth(np.array([corner, region][: 1 + len(crowds)]) / SIZE, crowds=crowds)
    unmoved = 0
    for seed in range(60):
        changes = augment_config(max_translate_fraction=1.0)
        model_input, after = augment(painted(corner), before, changes, np.random.default_rng(seed))
        assert (~after.is_crowd).sum() == 1
        if np.array_equal(after.boxes_rel_xywh, before.boxes_rel_xywh):
            np.testing.assert_array_equal(model_input, painted(corner))
            unmoved += 1
    assert 30 < unmoved < 60  # the object stays visible in about a quarter


def test_pixels_from_outside_are_black() -> None:
    model_input = np.full((SIZE, SIZE, 3), 200, np.uint8)
    after = warp_image(model_input, SHIFT_LEFT)
    assert (after[:, : SIZE // 2] == 200).all()
    assert (after[:, SIZE // 2 :] == 0).all()


PLAIN = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}


def photograph() -> np.ndarray:
    """Without values near black and white, which would be clipped."""
    return np.random.default_rng(6).integers(70, 150, (SIZE, SIZE, 3)).astype(np.uint8)


def factor_of(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The least-squares factor from `before` to `after`."""
    return (before * after).sum() / (before * before).sum()


def gray(model_input: np.ndarray) -> np.ndarray:
    return model_input @ np.array([0.299, 0.587, 0.114])


def test_letterbox_stays_black_and_is_left_out_of_the_mean() -> None:
    model_input = photograph()
    framed = np.pad(model_input, ((40, 24), (0, 0), (0, 0)))
    color = ColorConfig(brightness=0.3, contrast=0.3, saturation=0.3)
    for seed in range(5):
        after = jitter_color(framed, color, np.random.default_rng(seed))
        assert not after[:40].any()
        assert not after[-24:].any()
        np.testing.assert_array_equal(after[40:-24], jitter_color(model_input, color, np.random.default_rng(seed)))


def test_brightness_multiplies_every_value() -> None:
    factors = []
    for seed in range(20):
        after = jitter_color(photograph(), ColorConfig(**{**PLAIN, "brightness": 0.3}), np.random.default_rng(seed))
        factor = factor_of(photograph().astype(float), after.astype(float))
        np.testing.assert_allclose(after, photograph() * factor, atol=1)
        factors.append(factor)
    assert 0.7 < min(factors) < 0.8 < 1.2 < max(factors) < 1.3


def test_contrast_scales_differences_from_the_mean_gray() -> None:
    factors = []
    for seed in range(20):
        after = jitter_color(photograph(), ColorConfig(**{**PLAIN, "contrast": 0.3}), np.random.default_rng(seed))
        mean = gray(photograph()).mean()
        factor = factor_of(photograph() - mean, after - mean)
        np.testing.assert_allclose(after, mean + (photograph() - mean) * factor, atol=1)
        factors.append(factor)
    assert 0.7 < min(factors) < 0.8 < 1.2 < max(factors) < 1.3


def test_saturation_scales_differences_from_each_pixels_gray() -> None:
    factors = []
    for seed in range(20):
        after = jitter_color(photograph(), ColorConfig(**{**PLAIN, "saturation": 0.3}), np.random.default_rng(seed))
        grays = gray(photograph())[..., None]
        factor = factor_of(photograph() - grays, after - grays)
        np.testing.assert_allclose(after, grays + (photograph() - grays) * factor, atol=1)
        factors.append(factor)
    assert 0.7 < min(factors) < 0.8 < 1.2 < max(factors) < 1.3


def test_gray_images_are_changed_too() -> None:
    model_input = painted(BOX_PIXELS) // 2
    color = ColorConfig(brightness=0.5, contrast=0.0, saturation=1.0)
    after = jitter_color(model_input, color, np.random.default_rng(7))
    assert after.shape == model_input.shape
    assert (after == 0).sum() == (model_input == 0).sum()
    assert len(np.unique(after)) == 2
    assert after.max() != model_input.max()


def test_color_jitter_leaves_boxes_alone() -> None:
    model_input, boxes = photograph(), ground_truth([[0.1, 0.1, 0.5, 0.5]])
    color = ColorConfig(brightness=0.5, contrast=0.2, saturation=0.2)
    after, same = augment(model_input, boxes, augment_config(color=color), np.random.default_rng(8))
    assert np.abs(after.astype(int) - model_input).mean() > 5
    np.testing.assert_allclose(same.boxes_rel_xywh, boxes.boxes_rel_xywh)
