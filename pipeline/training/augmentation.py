"""Training images changed at random, and their boxes with them.

One affine matrix [2, 3] per image moves its pixels and the corners of its boxes. It maps fractions of the square, as
boxes have them: pixel i of n covers i / n to (i + 1) / n.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import Boxes, xywh_to_xyxy, xyxy_to_xywh
from pipeline.systems.interfaces import Truth
from pipeline.training.config import AugmentConfig, ColorConfig

Square = NDArray[np.uint8]
Matrix = NDArray[np.float64]

MIN_VISIBLE_FRACTION = 0.25
"""An object of which less of the box is left inside the square is taken for gone."""

GREY = {1: (1.0,), 3: (0.299, 0.587, 0.114)}
"""How bright each channel looks, by the number of channels."""


class Augmentation(NamedTuple):
    """How images are changed, and how the boxes of an example become its targets."""

    section: AugmentConfig
    encode: Callable[[Truth], dict[str, NDArray[Any]]]

    def apply(
        self, model_inputs: Square, truths: Sequence[Truth], names: Sequence[str], random: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """Change a batch of images in place; their targets of those names."""
        encoded = []
        for model_input, truth in zip(model_inputs, truths, strict=True):
            model_input[:], moved = augment(model_input, truth, self.section, random)
            encoded.append(self.encode(moved))
        return {name: np.stack([targets[name] for targets in encoded]) for name in names}


def augment(
    model_input: Square, truth: Truth, section: AugmentConfig, random: np.random.Generator
) -> tuple[Square, Truth]:
    """An image uint8 [size, size, 1 or 3] and its boxes, changed alike. Nothing moves where no object would be left."""
    matrix = draw_matrix(section, random)
    if section.color is not None:
        model_input = recolor(model_input, section.color, random)
    moved = move_boxes(truth, matrix)
    if moved.is_crowd.all():
        return model_input, truth
    return move_pixels(model_input, matrix), moved


def draw_matrix(section: AugmentConfig, random: np.random.Generator) -> Matrix:
    """Flipped, scaled and turned about the centre, then shifted."""
    flip, scale, turn, *shift = random.uniform(size=5)
    low, high = section.scale
    factor = low + scale * (high - low)
    angle = math.radians(section.rotate_degrees * (2 * turn - 1))
    mirror = -1 if flip < section.flip_probability else 1
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    linear = np.array([[mirror * cos, -sin], [mirror * sin, cos]])
    offset = 0.5 + section.max_translate_fraction * (2 * np.array(shift) - 1) - linear.sum(axis=1) / 2
    return np.column_stack([linear, offset])


def move_pixels(model_input: Square, matrix: Matrix) -> Square:
    """The image under `matrix`; black where nothing comes from inside, like the letterbox."""
    size = len(model_input)
    centers = matrix.copy()  # OpenCV counts from the centre of the first pixel
    centers[:, 2] = size * matrix[:, 2] + matrix[:, :2].sum(axis=1) / 2 - 0.5
    return cv2.warpAffine(model_input, centers, (size, size)).reshape(model_input.shape)


def move_boxes(truth: Truth, matrix: Matrix) -> Truth:
    """The boxes that enclose the moved corners, clipped to the square.

    Objects go of which less than MIN_VISIBLE_FRACTION is left, crowd regions of which nothing is.
    """
    left, top, right, bottom = xywh_to_xyxy(truth.boxes_rel_xywh).T
    corners = np.array([[left, right, left, right], [top, top, bottom, bottom]])  # [2, 4, N]
    moved = np.tensordot(matrix[:, :2], corners, 1) + matrix[:, 2, None, None]
    enclosing = np.concatenate([moved.min(axis=1), moved.max(axis=1)]).T
    clipped = np.clip(enclosing, 0, 1)
    left_over, whole = _areas(clipped), _areas(enclosing)
    kept = np.where(truth.is_crowd, left_over > 0, left_over >= MIN_VISIBLE_FRACTION * whole)
    return Truth(xyxy_to_xywh(clipped), truth.labels, truth.is_crowd)[kept]


def recolor(model_input: Square, color: ColorConfig, random: np.random.Generator) -> Square:
    """The image with other brightness, contrast and saturation: each pixel through one matrix, rounded.

    Black stays black and counts for no mean, so that the letterbox stays what it is when nothing is changed.
    """
    channels = model_input.shape[2]
    drawn = random.uniform(-1, 1, 3)
    brightness, contrast, saturation = 1 + drawn * (color.brightness, color.contrast, color.saturation)
    is_lit: NDArray[np.bool_] = model_input.max(axis=2) > 0
    mean = np.dot(GREY[channels], cv2.mean(model_input, is_lit.astype(np.uint8))[:channels])
    linear = saturation * np.eye(channels) + (1 - saturation) * np.array([GREY[channels]] * channels)
    offset = np.full((channels, 1), (1 - contrast) * mean)
    changed = cv2.transform(model_input, brightness * np.hstack([contrast * linear, offset])).reshape(model_input.shape)
    return np.where(is_lit[..., None], changed, model_input)


def _areas(boxes_xyxy: Boxes) -> NDArray[np.float64]:
    return (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(axis=1)
