"""Resizing of images to square model inputs, as transforms of pixels and boxes and their inverse."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.geometry.boxes import Boxes, as_boxes


@dataclass(frozen=True)
class ResizeTransform:
    """The position of an image of `width` x `height` pixels in a model input of `size` x `size` pixels.

    The image is scaled to `scaled_width` x `scaled_height` pixels, with its top left corner at (`left`, `top`). These
    are pixels of the model input, and negative if the image extends beyond it.

    Width and height are rounded to whole pixels separately, so each axis has its own exact scale. Therefore an edge
    between two pixels of the original is mapped to where the resized image shows it, not up to half a pixel beside it.
    """

    width: int
    height: int
    size: int
    scaled_width: int
    scaled_height: int
    left: int
    top: int

    def apply_boxes(self, boxes_xywh: ArrayLike) -> Boxes:
        """Convert boxes in pixels of the original, [N, 4], to fractions of the model input, rel xywh [N, 4]."""
        return (as_boxes(boxes_xywh) * self._scale + self._offset) / self.size

    def inverse_boxes(self, boxes_rel_xywh: ArrayLike) -> Boxes:
        """Convert fractions of the model input, rel xywh [N, 4], to pixels of the original, [N, 4]. Exact inverse."""
        return (as_boxes(boxes_rel_xywh) * self.size - self._offset) / self._scale

    def apply_image(self, image: NDArray[np.uint8], model_input: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Resize an image; pixels of the model input outside of it are black.

        Args:
            image: uint8 [height, width, channels].
            model_input: uint8 [size, size, channels], the array to fill. A new one by default.

        Returns:
            The filled array.

        """
        if model_input is None:
            model_input = np.empty((self.size, self.size, image.shape[2]), np.uint8)
        source_x, target_x = _overlap(self.left, self.scaled_width, self.size)
        source_y, target_y = _overlap(self.top, self.scaled_height, self.size)
        model_input[:] = 0
        target = model_input[target_y, target_x]
        # An axis that shrinks is averaged by area before the other one grows: OpenCV skips pixels if it does both at
        # once.
        shrunk_size = (min(self.width, self.scaled_width), min(self.height, self.scaled_height))
        if shrunk_size == target.shape[1::-1]:
            cv2.resize(image, shrunk_size, target, interpolation=cv2.INTER_AREA)
        else:
            scaled = cv2.resize(image, shrunk_size, interpolation=cv2.INTER_AREA)
            scaled = cv2.resize(scaled, (self.scaled_width, self.scaled_height), interpolation=cv2.INTER_LINEAR)
            target[:] = scaled.reshape(self.scaled_height, self.scaled_width, -1)[source_y, source_x]
        return model_input

    @property
    def _scale(self) -> NDArray[np.float64]:
        return np.tile([self.scaled_width / self.width, self.scaled_height / self.height], 2)

    @property
    def _offset(self) -> NDArray[np.float64]:
        return np.array([self.left, self.top, 0, 0], np.float64)


def letterbox(width: int, height: int, size: int) -> ResizeTransform:
    """Fit the whole image: its longer side becomes `size` pixels, and the shorter one is centered and padded.

    No side becomes shorter than one pixel.

    >>> letterbox(640, 426, 160)
    ResizeTransform(width=640, height=426, size=160, scaled_width=160, scaled_height=106, left=0, top=27)
    """
    return _centered(width, height, size, scale=size / max(width, height))


def center_crop(width: int, height: int, size: int) -> ResizeTransform:
    """Fill the model input: the shorter side becomes `size` pixels, and the longer one is cut off on both ends.

    >>> center_crop(640, 426, 160)
    ResizeTransform(width=640, height=426, size=160, scaled_width=240, scaled_height=160, left=-40, top=0)
    """
    return _centered(width, height, size, scale=size / min(width, height))


def stretch(width: int, height: int, size: int) -> ResizeTransform:
    """Scale each axis separately to the whole model input: nothing is padded or cut off, but the aspect ratio changes.

    >>> stretch(640, 426, 160)
    ResizeTransform(width=640, height=426, size=160, scaled_width=160, scaled_height=160, left=0, top=0)
    """
    return ResizeTransform(width, height, size, size, size, left=0, top=0)


CreateTransform = Callable[[int, int, int], ResizeTransform]
"""From the width and height of an image and the size of the model input in pixels."""

PIXEL_TRANSFORMS: Mapping[str, CreateTransform] = {"letterbox": letterbox, "crop": center_crop, "stretch": stretch}
"""The transform of the pixels for each value of `PackConfig.resize`."""

BOX_TRANSFORMS: Mapping[str, CreateTransform] = {"letterbox": letterbox, "crop": letterbox, "stretch": stretch}
"""The transform of the boxes for each value of `PackConfig.resize`: that of the pixels, except for `crop`."""


def _centered(width: int, height: int, size: int, scale: float) -> ResizeTransform:
    scaled_width, scaled_height = max(1, round(width * scale)), max(1, round(height * scale))
    return ResizeTransform(
        width, height, size, scaled_width, scaled_height, (size - scaled_width) // 2, (size - scaled_height) // 2
    )


def _overlap(start: int, length: int, size: int) -> tuple[slice, slice]:
    """The part of an image axis inside the model input, in pixels of the scaled image and of the model input."""
    first, last = max(start, 0), min(start + length, size)
    return slice(first - start, last - start), slice(first, last)
