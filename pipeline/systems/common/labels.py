"""Labels: the indices of a model's outputs, and the category that each stands for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.core.atomic_files import read_json, write_json
from pipeline.core.config import Config, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.geometry.labeled_boxes import LabeledBoxes

LABELS = "labels.json"

NO_CATEGORY = 0
"""The category id of the background label, and of labels without a category."""

MAX_CATEGORY_LABEL = 9999
"""The largest category id that can be a label: a model has an output for every label, used or not."""

PADDING_LABEL = -1
"""The label of padding in lists of boxes of a fixed length."""


class _LabelsFile(Config):
    category_ids: list[Annotated[int, Field(ge=0, lt=2**31)]]
    names: list[str]


@dataclass(frozen=True)
class Labels:
    """The categories behind the labels.

    Attributes:
        category_ids: int32 [num_labels]; NO_CATEGORY for a label without a category.
        names: the category names, one per label.

    """

    category_ids: NDArray[np.int32]
    names: list[str]

    @classmethod
    def read(cls, folder: Path) -> "Labels":
        """Read labels.json in `folder`.

        Raises:
            BoxlineError: if the file is malformed, or has another number of ids than of names.

        """
        path = folder / LABELS
        content = parse_config(read_json(path), _LabelsFile, where="", path=path)
        if len(content.category_ids) != len(content.names):
            raise BoxlineError(
                f"{path}: received {len(content.category_ids)} category ids and {len(content.names)} names, "
                "expected one of each per label."
            )
        return cls(np.array(content.category_ids, np.int32), content.names)

    def write(self, folder: Path) -> None:
        """Write labels.json into `folder`."""
        write_json(folder / LABELS, {"category_ids": self.category_ids.tolist(), "names": self.names})

    def drop_background(self, predictions: LabeledBoxes) -> LabeledBoxes:
        """Remove the boxes whose label stands for no category."""
        return predictions[self.category_ids[predictions.labels] != NO_CATEGORY]

    def from_category_ids(self, category_ids: NDArray[np.int32]) -> NDArray[np.int64]:
        """The label of each category id, [N] -> [N]."""
        order = np.argsort(self.category_ids, kind="stable")
        return order[np.searchsorted(self.category_ids, category_ids, sorter=order)]


def contiguous_labels(category_ids: list[int]) -> NDArray[np.int32]:
    """Number the categories in the order of their ids: the category id of each label, int32 [num_labels].

    >>> contiguous_labels([7, 2]).tolist()
    [2, 7]
    """
    return np.array(sorted(category_ids), np.int32)


def category_ids_as_labels(category_ids: list[int]) -> NDArray[np.int32]:
    """Use category ids as labels, 0 for background: the category id of each label, int32 [num_labels]; 91 for COCO.

    Raises:
        BoxlineError: if an id exceeds MAX_CATEGORY_LABEL.

    >>> category_ids_as_labels([4, 1]).tolist()
    [0, 1, 0, 0, 4]

    """
    if max(category_ids, default=0) > MAX_CATEGORY_LABEL:
        raise BoxlineError(
            f"Category id {max(category_ids)} is too large for a system whose labels are category ids, with an output "
            f"for each up to the largest: expected at most {MAX_CATEGORY_LABEL}. Choose a system that numbers the "
            "categories itself, such as anchor_free_detector, or renumber them."
        )
    labels = np.full(max(category_ids, default=0) + 1, NO_CATEGORY, np.int32)
    labels[category_ids] = category_ids
    return labels
