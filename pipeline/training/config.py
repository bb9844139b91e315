"""The `train` section of a system in params.yaml."""

from typing import Annotated, Literal

from msgspec import Meta

from pipeline.core.config import Config, Fraction, Name, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

Factor = Annotated[float, Meta(gt=0, lt=1)]


class StepConfig(Config, frozen=True, tag_field="kind", tag="drop"):
    """The learning rate times `factor` after every so many epochs of the phase."""

    every_epochs: PositiveInt
    factor: Factor


class CosineConfig(Config, frozen=True, tag_field="kind", tag="cosine"):
    """Step by step from 0 up to the learning rate in `warmup_epochs`, then down to `final_lr_fraction` of it by a cosine.

    warmup_epochs: also parts of an epoch; 0 begins with the full rate.
    final_lr_fraction: 1 stays at the full rate.
    """

    warmup_epochs: NonNegativeFloat
    final_lr_fraction: Fraction


class PlateauConfig(Config, frozen=True, tag_field="kind", tag="plateau"):
    """The learning rate times `factor` after `patience` epochs without a better validation loss, again and again."""

    patience: PositiveInt
    factor: Factor


class PhaseConfig(Config, frozen=True):
    """One part of a system, fitted for some epochs.

    patience: epochs without a better validation loss after which the phase stops; it then goes back to the best
        weights. null to train all epochs and keep the last ones.
    schedule: how the learning rate changes; null for a constant one.
    weight_decay: share of each weight that is taken off per step, times the learning rate, as AdamW does; biases and
        what scales and shifts a normalization are left alone. null for Adam.
    clip_norm: gradients that are longer together are shortened to this norm; null to leave them.
    """

    epochs: PositiveInt
    learning_rate: PositiveFloat
    patience: PositiveInt | None = None
    schedule: StepConfig | CosineConfig | PlateauConfig | None = None
    weight_decay: PositiveFloat | None = None
    clip_norm: PositiveFloat | None = None

    def __post_init__(self) -> None:
        """A warm-up ends before the phase does."""
        if isinstance(self.schedule, CosineConfig) and self.schedule.warmup_epochs >= self.epochs:
            raise ValueError(
                f"schedule.warmup_epochs is {self.schedule.warmup_epochs:g}, expected less than epochs, {self.epochs}"
            )


class ColorConfig(Config, frozen=True):
    """How far the factors of three properties may be from 1, either way; 0 leaves a property as it is.

    brightness: of every value, so that black stays black. contrast: of the distance from the image's mean grey.
    saturation: of the distance of a pixel's colour from its own grey.
    """

    brightness: Fraction
    contrast: Fraction
    saturation: Fraction


class AugmentConfig(Config, frozen=True):
    """How training images change at random, each time anew, and their boxes with them.

    flip_probability: of images that are mirrored left to right; 0 for none.
    max_translate_fraction: the farthest that an image is shifted along each axis, as a share of its side; 0 for not at all.
    scale: the smallest and the largest factor of its size; [1, 1] for its own.
    rotate_degrees: the farthest that it is turned, either way; 0 for not at all.
    color: null for its own.
    """

    flip_probability: Fraction
    max_translate_fraction: Fraction
    scale: tuple[PositiveFloat, PositiveFloat]
    rotate_degrees: Annotated[float, Meta(ge=0, le=180)]
    color: ColorConfig | None

    def __post_init__(self) -> None:
        """A range has an order."""
        low, high = self.scale
        if low > high:
            raise ValueError(f"scale begins at {low:g} and ends at {high:g}, expected the smaller factor first")


class TrainConfig(Config, frozen=True):
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
    phases: dict[Name, PhaseConfig]
    augment: AugmentConfig | None = None

    def __post_init__(self) -> None:
        """Early stopping and plateaus are seen on the held-out batches."""
        if self.validation_batches:
            return
        for phase in self.phases.values():
            if phase.patience or isinstance(phase.schedule, PlateauConfig):
                name = "patience" if phase.patience else "a schedule of kind plateau"
                raise ValueError(f"{name} needs validation_batches of at least 1")
