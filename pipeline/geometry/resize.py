"""Where an image lies inside a model's square input, and the way there and back for pixels and boxes."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.geometry.boxes import Boxes, as_boxes


@dataclass(frozen=True)
class ResizeTransform:
    """An image scaled to `scaled_width` x `scaled_height` pixels, its top left corner at (`left`, `top`).

    `left` and `top` are pixels of the square input of `size` x `size`. They are negative where the image sticks out.
    Width and height are rounded to whole pixels separately, so each axis has its own exact scale: an edge between two
    pixels of the original falls where the resized image shows it, not up to half a pixel beside it.
    """

    width: int
    height: int
    size: int
    scaled_width: int
    scaled_height: int
    left: int
    top: int

    def apply_boxes(self, boxes_xywh: ArrayLike) -> Boxes:
        """Pixels of the original, [N, 4] -> fractions of the square input, rel xywh [N, 4]."""
        return (as_boxes(boxes_xywh) * self._scale + self._offset) / self.size

    def inverse_boxes(self, boxes_rel_xywh: ArrayLike) -> Boxes:
        """Fractions of the square input, rel xywh [N, 4] -> pixels of the original, [N, 4]; the exact inverse."""
        return (as_boxes(boxes_rel_xywh) * self.size - self._offset) / self._scale

    def apply_image(self, image: NDArray[np.uint8], model_input: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """uint8 [height, width, channels] -> [size, size, channels]; black where the image does not reach.

        Fills `model_input` where it is given, a new array otherwise.
        """
        if model_input is None:
            model_input = np.empty((self.size, self.size, image.shape[2]), np.uint8)
        source_x, target_x = _overlap(self.left, self.scaled_width, self.size)
        source_y, target_y = _overlap(self.top, self.scaled_height, self.size)
        model_input[:] = 0
        place = model_input[target_y, target_x]
        # What shrinks is averaged by area before the other axis grows: given both at once, OpenCV skips pixels.
        shrunk = (min(self.width, self.scaled_width), min(self.height, self.scaled_height))
        if shrunk == place.shape[1::-1]:
            cv2.resize(image, shrunk, place, interpolation=cv2.INTER_AREA)
        else:
            scaled = cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA)
            scaled = cv2.resize(scaled, (self.scaled_width, self.scaled_height), interpolation=cv2.INTER_LINEAR)
            place[:] = scaled.reshape(self.scaled_height, self.scaled_width, -1)[source_y, source_x]
        return model_input

    @property
    def _scale(self) -> NDArray[np.float64]:
        return np.tile([self.scaled_width / self.width, self.scaled_height / self.height], 2)

    @property
    def _offset(self) -> NDArray[np.float64]:
        return np.array([self.left, self.top, 0, 0], np.float64)


def letterbox(width: int, height: int, size: int) -> ResizeTransform:
    """The whole image, centred, its longer side `size` pixels; the shorter one padded. No side shrinks to nothing.

    >>> letterbox(640, 426, 160)
    Placement(width=640, height=426, size=160, scaled_width=160, scaled_height=106, left=0, top=27)
    """
    scale = size / max(width, height)
    return _centred(width, height, size, scale)


def center_crop(width: int, height: int, size: int) -> ResizeTransform:
    """The middle of the image, its shorter side `size` pixels; what sticks out at the longer side is cut off.

    >>> center_crop(640, 426, 160)
    Placement(width=640, height=426, size=160, scaled_width=240, scaled_height=160, left=-40, top=0)
    """
    scale = size / min(width, height)
    return _centred(width, height, size, scale)


def stretch(width: int, height: int, size: int) -> ResizeTransform:
    """The whole image on the whole square, each axis scaled on its own: nothing is padded or cut, shapes change.

    >>> stretch(640, 426, 160)
    Placement(width=640, height=426, size=160, scaled_width=160, scaled_height=160, left=0, top=0)
    """
    return ResizeTransform(width, height, size, size, size, left=0, top=0)


PIXEL_TRANSFORMS = {"letterbox": letterbox, "crop": center_crop, "stretch": stretch}
"""Where `resize` puts the pixels."""

BOX_TRANSFORMS = {"letterbox": letterbox, "crop": letterbox, "stretch": stretch}
"""Where `resize` puts the boxes: with the pixels, but for `crop`; see Pack.resize."""


def _centred(width: int, height: int, size: int, scale: float) -> ResizeTransform:
    scaled_width, scaled_height = max(1, round(width * scale)), max(1, round(height * scale))
    return ResizeTransform(
        width, height, size, scaled_width, scaled_height, (size - scaled_width) // 2, (size - scaled_height) // 2
    )


def _overlap(start: int, length: int, size: int) -> tuple[slice, slice]:
    """Which part of an image axis lies inside the square, in the image's and in the square's pixels."""
    first, last = max(start, 0), min(start + length, size)
    return slice(first - start, last - start), slice(first, last)
