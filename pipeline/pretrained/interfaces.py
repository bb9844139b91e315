"""The interface of a system's pretrained weights."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import keras


class PretrainedSource(ABC):
    """Where a system's pretrained weights come from, and which files hold them.

    Attributes:
        files: names of the files that hold the weights, see pipeline/pretrained/config.py.
        preset_class: the KerasHub class whose `from_preset` takes handles of hubs; None if KerasHub lacks the network.

    """

    files: ClassVar[tuple[str, ...]]
    preset_class: ClassVar[Any] = None

    @abstractmethod
    def load_published(self) -> "keras.Model":
        """Fetch the published weights from their hub."""

    @abstractmethod
    def random_init(self, scale: str) -> "keras.Model":
        """Build the same architecture with random weights.

        Args:
            scale: "small" for a laptop, "published" for the published size, or another scale of the system.

        """
