"""Model folders with fixed weights, whose predictions can be computed by hand."""

import math
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from keras import layers

from pipeline.systems.common.labels import Labels
from pipeline.systems.common.model_metadata import ModelMetadata

SIZE = 40
BOX_REL_XYXY = (0.25, 0.4, 0.75, 0.6)
CATEGORY_IDS = (3, 5, 9)
NAMES = ("red", "green", "blue")


def constant(units: int, bias: Any, name: str, kernel: Any = None) -> Any:
    """A dense layer with these weights; without a kernel its output is its bias for every input."""
    return layers.Dense(
        units,
        kernel_initializer="zeros" if kernel is None else keras.initializers.Constant(kernel),
        bias_initializer=keras.initializers.Constant(np.asarray(bias, np.float32)),
        name=name,
    )


def write_localizer(
    folder: Path, resize: Literal["letterbox", "crop"] = "letterbox", channels: Literal[1, 3] = 3
) -> Path:
    """Write a digits_localizer that predicts the box BOX_REL_XYXY and the most frequent color of the image.

    A model input half filled with one saturated color has that class with probability 8 / (8 + 1 + 1) = 0.8.
    """
    image = layers.Input((SIZE, SIZE, channels), name="image")
    mean = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    kernel = np.eye(channels, 3, dtype=np.float32) * math.log(8) / 0.5
    label = layers.Softmax(name="label")(constant(3, [0, 0, 0], "colors", kernel)(mean))
    outputs = {"label": label, "bbox": constant(4, BOX_REL_XYXY, "bbox")(mean)}
    return write_folder(folder, keras.Model(image, outputs), "digits_localizer", resize, channels)


def write_detector(folder: Path) -> Path:
    """Write a coco_yolo with 2 x 2 cells that predicts, in the second row, category 5 with score 0.6 and 3 with 0.1."""
    image = layers.Input((SIZE, SIZE, 3), name="image")
    mean = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    box = np.zeros((2, 2, 5))
    box[1, 0] = [0.5, 0.5, 0.25, 0.125, 0.6]
    box[1, 1] = [0.5, 0.5, 0.25, 0.125, 0.1]
    classes = np.zeros((2, 2, 10))
    classes[1, 0, 5] = classes[1, 1, 3] = classes[0, :, 0] = 1
    outputs = {
        "box": layers.Reshape((2, 2, 5), name="box")(constant(20, box.ravel(), "boxes")(mean)),
        "class": layers.Reshape((2, 2, 10), name="class")(constant(40, classes.ravel(), "classes")(mean)),
    }
    return write_folder(folder, keras.Model(image, outputs), "coco_yolo", "letterbox", 3)


def write_folder(folder: Path, model: keras.Model, module: str, resize: Any, channels: Any) -> Path:
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    ModelMetadata(module=module, image_size=SIZE, channels=channels, resize=resize).write(folder)
    if module == "coco_yolo":
        ids = [0] * 10
        names = ["nothing"] * 10
        for category_id, name in zip(CATEGORY_IDS, NAMES, strict=True):
            ids[category_id], names[category_id] = category_id, name
        Labels(np.array(ids, np.int32), names).write(folder)
    else:
        Labels(np.array(CATEGORY_IDS, np.int32), list(NAMES)).write(folder)
    return folder
