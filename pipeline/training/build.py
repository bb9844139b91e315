"""Builds the model of a system from its entry in params.yaml."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.config import Config, SystemConfig, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.inference.predictor import Predictor
from pipeline.packing.config import PackConfig
from pipeline.pretrained.load import load_pretrained
from pipeline.systems.common.interfaces import BatchGenerator, ModelFactory, ModelShape, TrainingPhase
from pipeline.systems.common.labels import Labels
from pipeline.systems.common.model_metadata import ModelMetadata
from pipeline.systems.common.registry import get_system
from pipeline.training.augmentation import Augmentation
from pipeline.training.config import AugmentConfig


@dataclass(frozen=True)
class TrainableSystem:
    """A model with the parts of its system that a training needs.

    Attributes:
        predictor: the model, its codec, labels and metadata.
        factory: prepares the model for each phase.
        model_config: the `model` section.
        targets_config: the `targets` section.

    """

    predictor: Predictor
    factory: ModelFactory[Config, Config]
    model_config: Config
    targets_config: Config

    def phase_model(self, phase: str) -> TrainingPhase:
        """Prepare the model for a phase of the training."""
        return self.factory.phase_model(phase, self.predictor.model, self.model_config)

    def synthetic_batches(self) -> BatchGenerator | None:
        """The generator of training images that replaces the packed ones, if the system has one."""
        metadata = self.predictor.metadata
        shape = ModelShape(metadata.image_size, metadata.channels, len(self.predictor.labels.names))
        return self.factory.synthetic_batches(self.model_config, shape)

    def augmentation(self, config: AugmentConfig | None) -> Augmentation | None:
        """Augmentation that encodes the changed boxes with the system's codec."""
        if config is None:
            return None
        return Augmentation(config, lambda boxes: self.predictor.codec.encode(boxes, self.targets_config))


def build_system(config: SystemConfig, where: str, pretrained: Path, labels: Labels) -> TrainableSystem:
    """Build the model of a system.

    Args:
        config: the system's entry in params.yaml.
        where: dotted key of the entry, for messages.
        pretrained: the folder of its pretrained weights; not read if the system starts from random weights.
        labels: the labels of the training targets.

    Raises:
        BoxlineError: if a section is invalid, or if the model cannot be built for the size, channels or labels.

    """
    system = get_system(config.module, f"params.yaml: {where}.module")
    pack = parse_config(config.pack, PackConfig, f"{where}.pack")
    model_config = parse_config(config.model, system.model_config, f"{where}.model")
    targets_config = parse_config(config.targets, system.targets_config, f"{where}.targets")
    pretrained_model = load_pretrained(pretrained) if system.pretrained_scales else None
    if pretrained_model is not None and pack.channels != 3:
        raise BoxlineError(
            f"params.yaml: {where}.pack.channels: received {pack.channels}, expected 3: "
            "the pretrained weights take RGB images."
        )
    factory, shape = system.model_factory(), ModelShape(pack.image_size, pack.channels, len(labels.names))
    try:
        model = factory.build_model(model_config, targets_config, shape, pretrained_model)
        # A fully convolutional model can be built for every size, and still fail for some.
        model(np.zeros((1, *shape.image), np.uint8))
    except ValueError as error:
        raise BoxlineError(
            f"params.yaml: {where}: the model cannot be built for images of {pack.image_size} px "
            f"({keras_error_summary(error)}). Change pack.image_size, the model section or the pretrained weights."
        ) from None
    metadata = ModelMetadata(
        module=config.module, image_size=pack.image_size, channels=pack.channels, resize=pack.resize
    )
    predictor = Predictor(model, system.target_codec(), labels, metadata)
    return TrainableSystem(predictor, factory, model_config, targets_config)


def keras_error_summary(error: Exception) -> str:
    """The text that Keras prints in bold behind the name of the layer, or the first line."""
    text = str(error)
    bold = re.search("\x1b\\[1m(.+?)\x1b\\[0m", text, re.DOTALL)
    return " ".join((bold[1] if bold else text.partition("\n")[0]).split()).rstrip(".")
