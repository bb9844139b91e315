"""The folder of a trained model, which can be used without params.yaml.

model.keras        the network and its weights
labels.json        the category behind each label, see systems/common/labels.py
model_config.json  how its input images are made: `ModelMetadata`
"""

from pathlib import Path

from pipeline.core.atomic_files import read_json, write_json
from pipeline.core.config import Config, Name, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.packing.config import Channels, ImageSize, Resize
from pipeline.systems.common.labels import LABELS
from pipeline.systems.common.registry import get_system

MODEL = "model.keras"
METADATA = "model_config.json"


class ModelMetadata(Config):
    """Which system a model belongs to, and the size, channels and resizing of its input images.

    Attributes:
        module: a key of `systems.common.registry.SYSTEMS`.
        image_size: side of the square model input in pixels.
        channels: 3 for RGB, 1 for gray.
        resize: as in the `pack` section that the model was trained with.

    """

    module: Name
    image_size: ImageSize
    channels: Channels
    resize: Resize

    @classmethod
    def read(cls, folder: Path) -> "ModelMetadata":
        """Read model_config.json in `folder`.

        Raises:
            BoxlineError: if the file is malformed or names an unknown system. Nothing is imported by that name.

        """
        path = folder / METADATA
        metadata = parse_config(read_json(path), cls, where="", path=path)
        get_system(metadata.module, where=f"{path}: module")
        return metadata

    def write(self, folder: Path) -> None:
        """Write model_config.json into `folder`."""
        write_json(folder / METADATA, self.model_dump())


def require_model_folder(folder: Path) -> None:
    """Check that `folder` holds a trained model.

    Raises:
        BoxlineError: if one of the three files is missing. The message suggests the folder that was probably meant.

    """
    missing = [name for name in (MODEL, LABELS, METADATA) if not (folder / name).is_file()]
    if not missing:
        return
    guesses = [guess for guess in (Path("data") / folder / "train", folder / "train") if guess.is_dir()]
    if guesses:
        raise BoxlineError(f"{folder} is not a model folder; did you mean {guesses[0]}?")
    raise BoxlineError(
        f"{folder} is not a model folder: it lacks {', '.join(missing)}. "
        "Give the folder that a train stage wrote, such as data/coco_yolo/train."
    )
