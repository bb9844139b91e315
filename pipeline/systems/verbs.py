"""What a system is: a folder `pipeline/systems/<module>/` with these files.

params.py    Targets and Model: the system's own sections of params.yaml.
targets.py   the verbs of `Codec`: boxes into training targets, and a model's outputs back into boxes. NumPy only.
             Optional: `class_probabilities(outputs)`, how sure a localizer is of each class, [B, num_labels].
model.py     the verbs of `Architecture`: the network and its losses. `keras.ops` only, so any Keras backend runs it.
views.py     `write_views`: pictures that only this system has; optional.

A system works in the square input: boxes are rel xywh, fractions of its side. Its classes are labels 0, 1, 2 ...
`label_category_ids` says which category each label stands for.
"""

import importlib
import importlib.util
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import BoxlineError
from pipeline.geometry.boxes import Boxes
from pipeline.geometry.marks import Marks
from pipeline.params import NAME_PATTERN, Section

Arrays = Mapping[str, NDArray[Any]]

NO_CATEGORY = 0
"""Stands in `label_category_ids` for a label that means "nothing" or that no category uses."""


class Decoded(NamedTuple):
    """K boxes found in a batch: the image's row in the batch, rel xywh, the label and a score in 0..1."""

    rows: NDArray[np.int64]
    boxes_rel_xywh: Boxes
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]

    def by_image(self, num_images: int) -> list[Marks]:
        """The boxes of each image of the batch."""
        chosen = [self.rows == row for row in range(num_images)]
        return [Marks(self.boxes_rel_xywh[here], self.labels[here], self.scores[here]) for here in chosen]


class Codec(Protocol):
    """pipeline/systems/<module>/targets.py"""

    TASK: str  # "detection" or "localization", which scores fit its answers

    def label_category_ids(self, category_ids: list[int]) -> NDArray[np.int32]:
        """The category of each label, int32 [num_labels]; NO_CATEGORY where there is none."""

    def suits_training(self, num_boxes: int, targets: Section) -> bool:
        """Whether an image with that many boxes is trained on."""

    def suits_scoring(self, num_boxes: int, targets: Section) -> bool:
        """Whether the system can be asked about an image with that many boxes."""

    def encode(self, boxes_rel_xywh: Boxes, labels: NDArray[np.int64], targets: Section) -> dict[str, NDArray[Any]]:
        """The targets of one image, one array per output of the model."""

    def as_outputs(self, targets: Arrays, num_labels: int) -> dict[str, NDArray[Any]]:
        """A batch of targets in the form of the model's outputs: what a perfect model would answer."""

    def decode(self, outputs: Arrays) -> Decoded:
        """A batch of outputs as boxes."""


class Architecture(Protocol):
    """pipeline/systems/<module>/model.py"""

    def build_model(
        self, model: Section, targets: Section, image_size: int, channels: int, num_labels: int
    ) -> Any:  # keras.Model; naming it here would import Keras
        """An untrained model: uint8 or float pixels 0..255 [B, size, size, channels] -> outputs by name."""

    def compile_arguments(self) -> dict[str, Any]:
        """`loss`, `loss_weights` and `metrics` for `keras.Model.compile`, by output name."""


def codec(module: str) -> Codec:
    """The system's targets.py."""
    return cast(Codec, _import(module, "targets"))


def architecture(module: str) -> Architecture:
    """The system's model.py. Imports Keras."""
    return cast(Architecture, _import(module, "model"))


def sections(module: str) -> tuple[type[Section], type[Section]]:
    """The system's Targets and Model."""
    params = _import(module, "params")
    return params.Targets, params.Model


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
