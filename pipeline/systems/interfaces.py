"""What a system is: a folder `pipeline/systems/<module>/` with these files.

params.py    Targets and Model, the system's own sections of params.yaml; PARTS, the names of what can be trained; and
             PRETRAINED_FILES, what its pretrained weights consist of. Optional: PRETRAINED_SCALES, of its sample.
preset.py    the verbs of `Recipe`: where its pretrained weights come from.
targets.py   the verbs of `Codec`: boxes into training targets, and a model's outputs back into boxes. NumPy only.
             Optional: `class_probabilities(outputs)`, how sure a localizer is of each class, [B, num_labels].
model.py     the verbs of `Architecture`: the network and its losses. `keras.ops` only, so any Keras backend runs it.
views.py     `write_views`: pictures that only this system has; optional.

A system works in the square input: boxes are rel xywh, fractions of its side. Its classes are labels 0, 1, 2 ...
`label_to_category_id` says which category each label stands for.
"""

import importlib
import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.core.config import NAME_PATTERN, Config, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.geometry.boxes import Boxes
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.pretrained.config import PRETRAINED_SCALES, PretrainedConfig

Arrays = Mapping[str, NDArray[Any]]

NO_CATEGORY = 0
"""Stands in `label_to_category_id` for a label that means "nothing" or that no category uses."""


@dataclass(frozen=True)
class Truth:
    """The true boxes of one image: rel xywh [N, 4], labels int64 [N], and bool [N], which of them are crowd regions.

    A crowd region holds objects that nobody told apart. It is no answer to ask for, and finding something there is no
    mistake. `truth[rows]` has some of the boxes.
    """

    boxes_rel_xywh: Boxes
    labels: NDArray[np.int64]
    is_crowd: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: NDArray[Any]) -> "Truth":
        return Truth(self.boxes_rel_xywh[rows], self.labels[rows], self.is_crowd[rows])


class Decoded(NamedTuple):
    """K boxes found in a batch: the image's row in the batch, rel xywh, the label and a score in 0..1."""

    rows: NDArray[np.int64]
    boxes_rel_xywh: Boxes
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]

    def by_image(self, num_images: int) -> list[LabeledBoxes]:
        """The boxes of each image of the batch."""
        chosen = [self.rows == row for row in range(num_images)]
        return [LabeledBoxes(self.boxes_rel_xywh[here], self.labels[here], self.scores[here]) for here in chosen]


class Recipe(Protocol):
    """pipeline/systems/<module>/preset.py. Its models are those that `build_model` takes as `preset`."""

    KIND: Any  # KerasHub's class whose `from_preset` loads it; None where Keras itself does

    def upstream(self) -> Any:  # keras.Model; naming it here would import Keras
        """The published weights, fetched from their hub."""

    def sample(self, scale: str) -> Any:
        """Random weights in the same architecture: "small" for a laptop, or "published" at its true size."""


class Codec(Protocol):
    """pipeline/systems/<module>/targets.py"""

    TASK: str  # "detection" or "localization", which scores fit its answers

    def label_to_category_id(self, category_ids: list[int]) -> NDArray[np.int32]:
        """The category of each label, int32 [num_labels]; NO_CATEGORY where there is none."""

    def objects(self, truth: Truth, targets: Config) -> NDArray[np.bool_]:
        """Which boxes of an image are to be found, bool [N]; the others are crowd regions that are ignored."""

    def examples(self, truth: Truth, targets: Config, *, training: bool) -> list[NDArray[np.int64]]:
        """Which boxes of an image make up each example of it, as rows: no example where the image does not suit.

        For scoring (not `training`) an image is one question: one example, or none where it cannot be asked about.
        """

    def encode(self, truth: Truth, targets: Config) -> dict[str, NDArray[Any]]:
        """The targets of one example, whose boxes are `truth`, by name."""

    def as_outputs(self, targets: Arrays, num_labels: int) -> dict[str, NDArray[Any]]:
        """A batch of targets in the form of the model's outputs: what a perfect model would answer."""

    def decode(self, outputs: Arrays) -> Decoded:
        """A batch of outputs as boxes."""


class Part(NamedTuple):
    """What one phase of a training fits.

    model: from pixels to the outputs that have a loss. It shares its layers with the whole model.
    compile_arguments: what `keras.Model.compile` takes beside the optimizer, by output name.
    cut: the layer up to which nothing learns and nothing is random, so that its answers are computed once; or None.
    targets: names of the targets where they differ from the names of the outputs.
    """

    model: Any  # keras.Model
    compile_arguments: dict[str, Any]
    cut: str | None = None
    targets: tuple[str, ...] = ()


BatchGenerator = Callable[[np.random.Generator, int], tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]]
"""Draws that many new images, uint8 [count, size, size, channels], with their targets."""


class Architecture(Protocol):
    """pipeline/systems/<module>/model.py"""

    def build_model(
        self, model: Config, targets: Config, image_size: int, channels: int, num_labels: int, preset: Any
    ) -> Any:  # keras.Model
        """The whole model: uint8 or float pixels 0..255 [B, size, size, channels] -> outputs by name.

        `preset` is a model of the system's recipe, or None where it has none.
        """

    def part(self, name: str, whole: Any, model: Config) -> Part:
        """One of PARTS, made ready for its phase: what shall not learn is frozen."""

    def stream(self, model: Config, image_size: int, channels: int) -> BatchGenerator | None:
        """An endless source of training images instead of the packed ones; None for the packed ones."""


def recipe(module: str) -> Recipe:
    """The system's preset.py. Imports Keras."""
    return cast(Recipe, _import(module, "preset"))


def codec(module: str) -> Codec:
    """The system's targets.py."""
    return cast(Codec, _import(module, "targets"))


def architecture(module: str) -> Architecture:
    """The system's model.py. Imports Keras."""
    return cast(Architecture, _import(module, "model"))


def sections(module: str) -> tuple[type[Config], type[Config]]:
    """The system's Targets and Model."""
    params = _import(module, "params")
    return params.Targets, params.Model


def parts(module: str) -> tuple[str, ...]:
    """The names that `train.phases` may have."""
    return cast(tuple[str, ...], _import(module, "params").PARTS)


def pretrained_files(module: str) -> tuple[str, ...]:
    """What the system's preset consists of; () where it starts from random weights."""
    return cast(tuple[str, ...], _import(module, "params").PRETRAINED_FILES)


def preset(module: str, raw: object, where: str) -> PretrainedConfig | None:
    """The section at `where` as the system's preset, None where it starts from random weights.

    Raises BoxlineError where it is missing, or is there and stands for nothing, or names a scale that there is not.
    """
    files = pretrained_files(module)
    if (raw is None) != (not files):
        expected = "a section with source and scale" if files else "null: the system starts from random weights"
        raise BoxlineError(f"params.yaml: {where}: received {raw!r}, expected {expected}.")
    if raw is None:
        return None
    checked = parse_config(raw, PretrainedConfig, where)
    scales = getattr(_import(module, "params"), "PRETRAINED_SCALES", PRETRAINED_SCALES)
    if checked.scale not in scales:
        raise BoxlineError(
            f"params.yaml: {where}.scale: received {checked.scale!r}, expected one of {', '.join(scales)}."
        )
    return checked


def write_views(module: str) -> Callable[..., None] | None:
    """`write_views` of the system's views.py, or None where it has none."""
    if importlib.util.find_spec(f"pipeline.systems.{module}.views") is None:
        return None
    return cast(Callable[..., None], _import(module, "views").write_views)


def class_probabilities(codec: Codec) -> Callable[[Arrays], NDArray[np.float64]] | None:
    """`class_probabilities` of the system's targets.py, or None where it has none."""
    return cast("Callable[[Arrays], NDArray[np.float64]] | None", getattr(codec, "class_probabilities", None))


def is_system(module: str) -> bool:
    """Whether pipeline/systems has a folder of that name."""
    if not re.fullmatch(NAME_PATTERN, module):
        return False
    spec = importlib.util.find_spec(f"pipeline.systems.{module}")
    return spec is not None and spec.submodule_search_locations is not None


def _import(module: str, part: str) -> Any:
    if not is_system(module):
        raise BoxlineError(f"params.yaml: there is no system module {module!r} in pipeline/systems.")
    return importlib.import_module(f"pipeline.systems.{module}.{part}")
