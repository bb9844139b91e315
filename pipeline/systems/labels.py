"""What the labels of a system stand for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.storage.files import read_json, write_json

LABELS = "labels.json"


@dataclass(frozen=True)
class Labels:
    """The category of each label, `category_ids` int32 [num_labels], and the categories' `names`."""

    category_ids: NDArray[np.int32]
    names: list[str]

    @classmethod
    def read(cls, folder: Path) -> "Labels":
        """What `write` wrote."""
        content = read_json(folder / LABELS)
        return cls(np.array(content["category_ids"], np.int32), content["names"])

    def write(self, folder: Path) -> None:
        """labels.json"""
        write_json(folder / LABELS, {"category_ids": self.category_ids.tolist(), "names": self.names})

    def of_categories(self, category_ids: NDArray[np.int32]) -> NDArray[np.int64]:
        """The label of each category id, [N] -> [N]."""
        order = np.argsort(self.category_ids, kind="stable")
        return order[np.searchsorted(self.category_ids, category_ids, sorter=order)]
