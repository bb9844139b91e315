"""Random changes of training images and of their boxes.

One affine matrix [2, 3] per image moves its pixels and the corners of its boxes. Like boxes, it uses fractions of the
image: pixel i of n covers i / n to (i + 1) / n.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import Boxes, xywh_to_xyxy, xyxy_to_xywh
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.training.config import AugmentConfig, ColorConfig

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]

MIN_VISIBLE_FRACTION = 0.25
"""An object is dropped if less than this fraction of its box is left inside the image."""

LUMA_WEIGHTS = {1: (1.0,), 3: (0.299, 0.587, 0.114)}
"""How much each channel contributes to the gray value, by the number of channels."""


class Augmentation(NamedTuple):
    """How training images are changed, and how the changed boxes become targets.

    Attributes:
        config: the `train.augment` section of the system.
        encode: makes the targets of one example from its boxes.

    """

    config: AugmentConfig
    encode: Callable[[LabeledBoxes], dict[str, NDArray[Any]]]

    def apply(
        self,
        model_inputs: Pixels,
        ground_truth: Sequence[LabeledBoxes],
        target_names: Sequence[str],
        random: np.random.Generator,
    ) -> dict[str, NDArray[Any]]:
        """Change a batch of images in place and encode their changed boxes.

        Args:
            model_inputs: uint8 [B, size, size, channels]; overwritten.
            ground_truth: the boxes of each image.
            target_names: the targets to return.
            random: drawn from image by image.

        Returns:
            The targets of the batch by name, each [B, ...].

        """
        encoded = []
        for model_input, boxes in zip(model_inputs, ground_truth, strict=True):
            model_input[:], changed = augment(model_input, boxes, self.config, random)
            encoded.append(self.encode(changed))
        return {name: np.stack([targets[name] for targets in encoded]) for name in target_names}


def augment(
    model_input: Pixels, ground_truth: LabeledBoxes, config: AugmentConfig, random: np.random.Generator
) -> tuple[Pixels, LabeledBoxes]:
    """Change one image and its boxes.

    Args:
        model_input: uint8 [size, size, 1 or 3]; not modified.
        ground_truth: the boxes of the image.
        config: how much the image may change.
        random: one matrix is drawn from it, then the colors.

    Returns:
        The changed image and its boxes. The image is recolored, but not moved, if no object would be left in it.

    """
    matrix = random_affine(config, random)
    if config.color is not None:
        model_input = jitter_color(model_input, config.color, random)
    moved = warp_boxes(ground_truth, matrix)
    if moved.is_crowd.all():
        return model_input, ground_truth
    return warp_image(model_input, matrix), moved


def random_affine(config: AugmentConfig, random: np.random.Generator) -> Matrix:
    """Draw a matrix that flips, scales and rotates about the center, then translates. float64 [2, 3]."""
    flip, scale, turn, *shift = random.uniform(size=5)
    low, high = config.scale
    factor = low + scale * (high - low)
    angle = math.radians(config.rotate_degrees * (2 * turn - 1))
    mirror = -1 if flip < config.flip_probability else 1
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    linear = np.array([[mirror * cos, -sin], [mirror * sin, cos]])
    offset = 0.5 + config.max_translate_fraction * (2 * np.array(shift) - 1) - linear.sum(axis=1) / 2
    return np.column_stack([linear, offset])


def warp_image(model_input: Pixels, matrix: Matrix) -> Pixels:
    """Transform the pixels, uint8 [size, size, C]. Pixels from outside are black, like the bars of a letterbox."""
    size = len(model_input)
    centers = matrix.copy()  # OpenCV's origin is the center of the first pixel
    centers[:, 2] = size * matrix[:, 2] + matrix[:, :2].sum(axis=1) / 2 - 0.5
    return cv2.warpAffine(model_input, centers, (size, size)).reshape(model_input.shape)


def warp_boxes(ground_truth: LabeledBoxes, matrix: Matrix) -> LabeledBoxes:
    """Transform the boxes: the boxes that enclose the moved corners, clipped to the image.

    Objects with less than MIN_VISIBLE_FRACTION of their area left are dropped, and crowd regions without any.
    """
    left, top, right, bottom = xywh_to_xyxy(ground_truth.boxes_rel_xywh).T
    corners = np.array([[left, right, left, right], [top, top, bottom, bottom]])  # [2, 4, N]
    moved = np.tensordot(matrix[:, :2], corners, 1) + matrix[:, 2, None, None]
    enclosing = np.concatenate([moved.min(axis=1), moved.max(axis=1)]).T
    clipped = np.clip(enclosing, 0, 1)
    visible_areas, areas = _areas(clipped), _areas(enclosing)
    kept = np.where(ground_truth.is_crowd, visible_areas > 0, visible_areas >= MIN_VISIBLE_FRACTION * areas)
    return LabeledBoxes(xyxy_to_xywh(clipped), ground_truth.labels, is_crowd=ground_truth.is_crowd)[kept]


def jitter_color(model_input: Pixels, color: ColorConfig, random: np.random.Generator) -> Pixels:
    """Change brightness, contrast and saturation: one matrix for all pixels, rounded to uint8.

    Black pixels stay black and are excluded from the mean, so that letterbox padding neither changes nor has an effect.
    """
    channels = model_input.shape[2]
    drawn = random.uniform(-1, 1, 3)
    brightness, contrast, saturation = 1 + drawn * (color.brightness, color.contrast, color.saturation)
    is_lit: NDArray[np.bool_] = model_input.max(axis=2) > 0
    mean = np.dot(LUMA_WEIGHTS[channels], cv2.mean(model_input, is_lit.astype(np.uint8))[:channels])
    linear = saturation * np.eye(channels) + (1 - saturation) * np.array([LUMA_WEIGHTS[channels]] * channels)
    offset = np.full((channels, 1), (1 - contrast) * mean)
    changed = cv2.transform(model_input, brightness * np.hstack([contrast * linear, offset])).reshape(model_input.shape)
    return np.where(is_lit[..., None], changed, model_input)


def _areas(boxes_xyxy: Boxes) -> NDArray[np.float64]:
    return (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(axis=1)
