"""A trained model with everything that turns its outputs into labeled boxes."""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.core.errors import BoxlineError
from pipeline.core.progress import ProgressBar
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import BOX_TRANSFORMS, PIXEL_TRANSFORMS, CreateTransform, ResizeTransform
from pipeline.packing.shards import Shards
from pipeline.systems.common.interfaces import TargetCodec
from pipeline.systems.common.labels import LABELS, Labels
from pipeline.systems.common.model_metadata import METADATA, MODEL, ModelMetadata
from pipeline.systems.common.registry import get_system

BATCH_IMAGES = 64


@dataclass(frozen=True)
class BatchPrediction:
    """What a model predicts for a batch of images.

    Attributes:
        outputs: the model's outputs by name, each [B, ...].
        boxes: the predicted boxes of each image, relative to the model input, without background labels.

    """

    outputs: dict[str, NDArray[Any]]
    boxes: list[LabeledBoxes]


@dataclass(frozen=True)
class Predictor:
    """A model with everything that is needed to predict boxes.

    Evaluation, `boxline predict` and the box logger of a training all predict through this class.

    Attributes:
        model: from pixels 0..255 [B, size, size, channels] to named outputs.
        codec: decodes the outputs.
        labels: the category of each label.
        metadata: the system of the model, and how its input images are made.
        name: how error messages call the model: its file if it has one.
        box_transforms: the transform of the boxes for each value of `metadata.resize`.

    """

    model: keras.Model
    codec: TargetCodec[Any]
    labels: Labels
    metadata: ModelMetadata
    name: str = "The model"
    box_transforms: Mapping[str, CreateTransform] = field(default_factory=lambda: BOX_TRANSFORMS)

    @classmethod
    def load(cls, folder: Path) -> "Predictor":
        """Load the model folder that a train stage wrote, for inference only. Code inside the files is never run.

        Raises:
            BoxlineError: if the folder does not hold a usable model.

        """
        metadata, labels = ModelMetadata.read(folder), Labels.read(folder)
        system = get_system(metadata.module)
        system.model_factory()  # importing it registers the Keras classes that the saved model may contain
        path = folder / MODEL
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except (ValueError, OSError, TypeError, KeyError, zipfile.BadZipFile) as error:
            reason = str(error).strip().partition("\n")[0]
            raise BoxlineError(
                f"{path} is not a model that can be loaded ({reason}). `dvc repro` trains it again."
            ) from None
        expected = (None, metadata.image_size, metadata.image_size, metadata.channels)
        # A fully convolutional model accepts any size: its None fits everything.
        if any(accepted not in (None, size) for accepted, size in zip(model.input_shape, expected, strict=True)):
            raise BoxlineError(
                f"{path} takes images of shape {model.input_shape}, {METADATA} says {expected}. "
                "Give the folder that a train stage wrote."
            )
        return cls(model, system.target_codec(), labels, metadata, str(path))

    def predict_batch(self, model_inputs: NDArray[np.uint8]) -> BatchPrediction:
        """Run the model once on a batch.

        Args:
            model_inputs: uint8 [B, size, size, channels].

        Raises:
            BoxlineError: if a predicted label has no name.

        """
        outputs = {name: np.asarray(values) for name, values in self.model.predict_on_batch(model_inputs).items()}
        boxes = self.codec.decode(outputs)
        highest = max((int(image.labels.max(initial=0)) for image in boxes), default=0)
        if highest >= len(self.labels.names):
            raise BoxlineError(
                f"{self.name} predicts label {highest}, {LABELS} names {len(self.labels.names)} labels. "
                "Give the folder that a train stage wrote."
            )
        return BatchPrediction(outputs, [self.labels.drop_background(image) for image in boxes])

    def predict_shards(
        self, images: Shards, image_ids: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], BatchPrediction]]:
        """Predict packed images batch by batch, with a progress bar.

        Args:
            images: the shards that hold the images.
            image_ids: the images to predict, int64 [N].

        Yields:
            The image ids of each batch, in the order given, and its prediction.

        """
        with ProgressBar("predicting", len(image_ids), "image") as progress:
            for start in range(0, len(image_ids), BATCH_IMAGES):
                batch_ids = image_ids[start : start + BATCH_IMAGES]
                yield batch_ids, self.predict_batch(images.take("image", images.rows_of(batch_ids)))
                progress.update(len(batch_ids))

    def resize(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ResizeTransform]:
        """Make the model input of an image.

        Args:
            pixels: uint8 [height, width, 3], RGB.

        Returns:
            uint8 [size, size, channels], and the transform that maps boxes to it and back.

        """
        height, width = pixels.shape[:2]
        size, resize = self.metadata.image_size, self.metadata.resize
        if self.metadata.channels == 1:
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
        model_input = PIXEL_TRANSFORMS[resize](width, height, size).apply_image(pixels)
        return model_input, self.box_transforms[resize](width, height, size)
