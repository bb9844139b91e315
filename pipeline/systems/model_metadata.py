"""What a folder with a trained model says about itself, so that it answers on its own, far from params.yaml.

model.keras   the weights and the network
labels.json   the category behind each label, see labels.py
system.json   how its images are made, below
"""

from pathlib import Path

import msgspec

from pipeline.core.atomic_files import read_json, write_json
from pipeline.core.config import Name, Config, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.packing.config import Channels, ImageSize, Resize
from pipeline.systems.interfaces import is_system
from pipeline.systems.labels import LABELS

MODEL = "model.keras"
SYSTEM = "system.json"


class ModelMetadata(Config, frozen=True):
    """`module` is a folder of pipeline/systems, the rest as in the `pack` section that the model was trained with."""

    module: Name
    image_size: ImageSize
    channels: Channels
    resize: Resize

    @classmethod
    def read(cls, folder: Path) -> "ModelMetadata":
        """What `write` wrote; the module is known to exist before anything is imported by that name."""
        path = folder / SYSTEM
        saved = parse_config(read_json(path), cls, where="", path=path)
        if not is_system(saved.module):
            raise BoxlineError(f"{path}: module: received {saved.module!r}, expected a folder of pipeline/systems.")
        return saved

    def write(self, folder: Path) -> None:
        """system.json"""
        write_json(folder / SYSTEM, msgspec.to_builtins(self))


def require_model_folder(folder: Path) -> None:
    """Raise BoxlineError where one of the three files is missing; the sentence guesses what was meant."""
    missing = [name for name in (MODEL, LABELS, SYSTEM) if not (folder / name).is_file()]
    if not missing:
        return
    guesses = [guess for guess in (Path("data") / folder / "train", folder / "train") if guess.is_dir()]
    if guesses:
        raise BoxlineError(f"{folder} is not a model folder; did you mean {guesses[0]}?")
    raise BoxlineError(
        f"{folder} is not a model folder: it lacks {', '.join(missing)}. "
        "Give the folder that a train stage wrote, such as data/coco_yolo/train."
    )
