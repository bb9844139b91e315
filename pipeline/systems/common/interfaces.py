"""What a system must offer: a target codec, a model factory, and optionally pretrained weights and plots of its own.

A system is a folder `pipeline/systems/<name>/`:

    system.py      a subclass of `System`, which names the other parts and imports each one lazily
    config.py      `TargetsConfig` and `ModelConfig`, the system's own sections of params.yaml
    targets.py     a `TargetCodec`: boxes into training targets, model outputs into boxes; NumPy only
    model.py       a `ModelFactory`: the network and its losses; `keras.ops` only, so every Keras backend runs it

Pretrained weights are classes in pipeline/pretrained, plots that only one system has are in pipeline/plots.

Boxes are relative to the model input (`LabeledBoxes`). Classes are labels 0, 1, 2 ...; the codec maps each label to a
category. This module imports no Keras, and neither do codecs and configs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.core.config import Config
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.systems.common.labels import contiguous_labels

if TYPE_CHECKING:
    import keras

    from pipeline.pretrained.interfaces import PretrainedSource

NamedArrays = Mapping[str, NDArray[Any]]
"""Model outputs or training targets of a batch, by name."""

TaskName = Literal["detection", "localization"]

TargetsConfigT = TypeVar("TargetsConfigT", bound=Config)
ModelConfigT = TypeVar("ModelConfigT", bound=Config)


class TargetCodec(ABC, Generic[TargetsConfigT]):
    """Encodes boxes as training targets, and decodes model outputs as boxes."""

    task: ClassVar[TaskName]
    """Which scores fit the predictions."""

    def label_to_category_id(self, category_ids: list[int]) -> NDArray[np.int32]:
        """The category id of each label, int32 [num_labels]; NO_CATEGORY for a label without a category."""
        return contiguous_labels(category_ids)

    def object_mask(self, ground_truth: LabeledBoxes, config: TargetsConfigT) -> NDArray[np.bool_]:
        """Which boxes of an image the model should find, bool [N]; the others are crowd regions that are ignored."""
        return ~ground_truth.is_crowd

    @abstractmethod
    def select_examples(
        self, ground_truth: LabeledBoxes, config: TargetsConfigT, *, training: bool
    ) -> list[NDArray[np.int64]]:
        """Select the boxes of each example that an image yields.

        Args:
            ground_truth: the boxes of one image.
            config: the `targets` section of the system.
            training: False for evaluation, where an image yields one example, or none if it cannot be scored.

        Returns:
            Row indices per example; an empty list if the image is skipped.

        """

    @abstractmethod
    def encode(self, ground_truth: LabeledBoxes, config: TargetsConfigT) -> dict[str, NDArray[Any]]:
        """Convert boxes to training targets.

        Args:
            ground_truth: the boxes of one example.
            config: the `targets` section of the system.

        Returns:
            The targets of the example by name, without a batch axis.

        """

    @abstractmethod
    def oracle_outputs(self, targets: NamedArrays, num_labels: int) -> dict[str, NDArray[Any]]:
        """Convert targets to the model outputs that decode to the same boxes: the predictions of an oracle.

        Args:
            targets: a batch of targets, each [B, ...].
            num_labels: number of labels.

        Returns:
            Model outputs by name, each [B, ...].

        """

    @abstractmethod
    def decode(self, outputs: NamedArrays) -> list[LabeledBoxes]:
        """Convert model outputs to predicted boxes.

        Args:
            outputs: a batch of model outputs, each [B, ...].

        Returns:
            One record per image, with scores. Labels may include the background.

        """

    def class_probabilities(self, outputs: NamedArrays) -> NDArray[np.float64] | None:
        """The probability of each class in each image, [B, num_labels]; None for detectors and single-class models."""
        return None


class TrainingPhase(NamedTuple):
    """The model, losses and metrics of one phase of a training.

    Attributes:
        model: a model from pixels to the outputs that have a loss; it shares its layers with the whole model.
        compile_arguments: arguments of `keras.Model.compile` besides the optimizer, by output name. Keras puts the
            name of the output before that of a metric only if there are several outputs: a phase with one of them
            names its metrics so itself, and every quantity has one curve over all phases.
        frozen_until: name of the layer up to which all weights are frozen and nothing is random, so that its output
            can be cached; None if there is no such layer.
        target_names: names of the targets, if they differ from the names of the outputs.

    """

    model: "keras.Model"
    compile_arguments: dict[str, Any]
    frozen_until: str | None = None
    target_names: tuple[str, ...] = ()


BatchGenerator = Callable[[np.random.Generator, int], tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]]
"""Generates new training images: from a random generator and a count to images uint8 [count, size, size, channels] and
their targets by name, each [count, ...]."""


class ModelShape(NamedTuple):
    """What a network is built for.

    Attributes:
        image_size: side of the square model input in pixels.
        channels: 3 for RGB, 1 for gray.
        num_labels: number of labels, including the background if the codec has one.

    """

    image_size: int
    channels: int
    num_labels: int

    @property
    def image(self) -> tuple[int, int, int]:
        """The shape of one model input: height, width, channels."""
        return self.image_size, self.image_size, self.channels


class ModelFactory(ABC, Generic[ModelConfigT, TargetsConfigT]):
    """Builds a system's network and prepares it for each training phase."""

    @abstractmethod
    def build_model(
        self,
        config: ModelConfigT,
        targets: TargetsConfigT,
        shape: ModelShape,
        pretrained: "keras.Model | None",
    ) -> "keras.Model":
        """Build the whole network.

        Args:
            config: the `model` section of the system.
            targets: the `targets` section of the system.
            shape: size and channels of the model input, and the number of labels.
            pretrained: a model from the system's `PretrainedSource`, None for systems without one.

        Returns:
            A model from pixels 0..255 [B, size, size, channels], uint8 or float, to named outputs.

        Raises:
            ValueError: if the configuration does not fit the input size or the labels.

        """

    @abstractmethod
    def phase_model(self, phase: str, model: "keras.Model", config: ModelConfigT) -> TrainingPhase:
        """Prepare the model for a phase: freeze the layers that the phase does not train.

        Args:
            phase: one of the system's `phases`.
            model: a result of `build_model`.
            config: the `model` section of the system.

        """

    def synthetic_batches(self, config: ModelConfigT, shape: ModelShape) -> BatchGenerator | None:
        """A generator of training images that replaces the packed ones; None to train on the packed ones.

        Args:
            config: the `model` section of the system.
            shape: size and channels of the images.

        """
        return None


class ViewWriter(Protocol):
    """Writes the plots that only one system has."""

    def __call__(
        self,
        folder: Path,
        model_inputs: NDArray[np.uint8],
        outputs: NamedArrays,
        ground_truth: Sequence[LabeledBoxes],
        predictions: Sequence[LabeledBoxes],
        names: Sequence[str],
        score_threshold: float,
    ) -> None:
        """Write PNG files into `folder` for a batch of model inputs, uint8 [B, size, size, channels]."""


class TargetDrawer(Protocol):
    """Draws what the targets of one example hold besides boxes, such as a class map."""

    def __call__(self, ax: Any, targets: NamedArrays, names: Sequence[str]) -> None:
        """Draw into axes whose corners (0, 0) and (1, 1) are those of the model input.

        Args:
            ax: Matplotlib axes that show the model input.
            targets: of the example, by name, without a batch axis.
            names: the name of each label.

        """


class System(ABC, Generic[TargetsConfigT, ModelConfigT]):
    """One system: its configuration classes, and its parts, each imported when it is first used.

    Attributes:
        phases: names that `train.phases` may have.
        targets_config: class of the `targets` section.
        model_config: class of the `model` section.
        pretrained_scales: scales of randomly initialized weights; empty for systems without pretrained weights.

    """

    phases: ClassVar[tuple[str, ...]] = ("all",)
    targets_config: type[TargetsConfigT]
    model_config: type[ModelConfigT]
    pretrained_scales: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def target_codec(self) -> TargetCodec[TargetsConfigT]:
        """The codec. Imports no Keras."""

    @abstractmethod
    def model_factory(self) -> ModelFactory[ModelConfigT, TargetsConfigT]:
        """The model factory, and with it the Keras classes that a saved model of the system needs. Imports Keras."""

    def pretrained_source(self) -> "PretrainedSource | None":
        """The pretrained weights; None for systems that start from random weights. Imports Keras."""
        return None

    def target_drawer(self) -> TargetDrawer | None:
        """Draws the targets besides boxes; None if there is nothing else to draw."""
        return None

    def view_writer(self) -> ViewWriter | None:
        """The system's own plots; None if it has none."""
        return None
