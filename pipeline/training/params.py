"""The `train` section of a system in params.yaml."""

from typing import Annotated, Literal

from msgspec import Meta

from pipeline.params import Name, NonNegativeInt, PositiveFloat, PositiveInt, Section, Share


class Drop(Section, frozen=True):
    """The learning rate times `factor` after every so many epochs of the phase."""

    every_epochs: PositiveInt
    factor: Annotated[float, Meta(gt=0, lt=1)]


class Phase(Section, frozen=True):
    """One part of a system, fitted for some epochs.

    patience: epochs without a better validation loss after which the phase stops; it then goes back to the best
        weights. null to train all epochs and keep the last ones.
    drop: falling learning rate; null for a constant one.
    """

    epochs: PositiveInt
    learning_rate: PositiveFloat
    patience: PositiveInt | None = None
    drop: Drop | None = None


class Color(Section, frozen=True):
    """How far the factors of three properties may be from 1, either way; 0 leaves a property as it is.

    brightness: of every value, so that black stays black. contrast: of the distance from the image's mean grey.
    saturation: of the distance of a pixel's colour from its own grey.
    """

    brightness: Share
    contrast: Share
    saturation: Share


class Augment(Section, frozen=True):
    """How training images change at random, each time anew, and their boxes with them.

    flip_share: of images that are mirrored left to right; 0 for none.
    translate_share: the farthest that an image is shifted along each axis, as a share of its side; 0 for not at all.
    scale: the smallest and the largest factor of its size; [1, 1] for its own.
    rotate_degrees: the farthest that it is turned, either way; 0 for not at all.
    color: null for its own.
    """

    flip_share: Share
    translate_share: Share
    scale: tuple[PositiveFloat, PositiveFloat]
    rotate_degrees: Annotated[float, Meta(ge=0, le=180)]
    color: Color | None

    def __post_init__(self) -> None:
        """A range has an order."""
        low, high = self.scale
        if low > high:
            raise ValueError(f"scale begins at {low:g} and ends at {high:g}, expected the smaller factor first")


class Train(Section, frozen=True):
    """How a model is fitted.

    batch_size: images of one step.
    validation_batches: batches of the shuffled training images that are held out; 0 for none.
    precision: of the layers' arithmetic. Outputs, losses and overlaps stay float32 under every choice.
    xla: compile the step with XLA: slower to start, faster on GPUs.
    phases: what is fitted, one after the other, by the part's name. None: the preset is used as it is.
    augment: how training images change from epoch to epoch; null for images as they are.
    """

    batch_size: PositiveInt
    validation_batches: NonNegativeInt
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    xla: bool
    phases: dict[Name, Phase]
    augment: Augment | None = None

    def __post_init__(self) -> None:
        """Early stopping watches the held-out batches."""
        if not self.validation_batches and any(phase.patience for phase in self.phases.values()):
            raise ValueError("patience needs validation_batches of at least 1")
