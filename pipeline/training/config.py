"""The `train` section of a system in params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.config import (
    Config,
    Fraction,
    Name,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TupleFromList,
)

Factor = Annotated[float, Field(gt=0, lt=1)]


class StepConfig(Config):
    """Multiplies the learning rate by `factor` after every `every_epochs` epochs of the phase."""

    kind: Literal["step"] = "step"
    every_epochs: PositiveInt
    factor: Factor


class CosineConfig(Config):
    """Changes the learning rate in every step: a linear warm-up from 0, then a cosine decay.

    Attributes:
        kind: "cosine".
        warmup_epochs: length of the warm-up, also a part of an epoch; 0 starts with the full learning rate.
        final_lr_fraction: the last learning rate as a fraction of the full one; 1 keeps the full one.

    """

    kind: Literal["cosine"] = "cosine"
    warmup_epochs: NonNegativeFloat
    final_lr_fraction: Fraction


class PlateauConfig(Config):
    """Multiplies the learning rate by `factor` whenever `patience` epochs bring no better validation loss."""

    kind: Literal["plateau"] = "plateau"
    patience: PositiveInt
    factor: Factor


class PhaseConfig(Config):
    """One phase of a training.

    Attributes:
        epochs: maximal number of epochs.
        learning_rate: of Adam, before any schedule.
        patience: the phase stops after this many epochs without a better validation loss and restores the best
            weights; None to train all epochs and keep the last weights.
        schedule: how the learning rate changes; None for a constant one.
        weight_decay: fraction of each weight that is subtracted per step, times the learning rate, as in AdamW; biases
            and the scales and offsets of normalizations are excluded. None for Adam.
        clip_norm: gradients with a larger global norm are scaled down to it; None for no clipping.

    """

    epochs: PositiveInt
    learning_rate: PositiveFloat
    patience: PositiveInt | None = None
    schedule: Annotated[StepConfig | CosineConfig | PlateauConfig, Field(discriminator="kind")] | None = None
    weight_decay: PositiveFloat | None = None
    clip_norm: PositiveFloat | None = None

    @model_validator(mode="after")
    def _require_warmup_within_phase(self) -> Self:
        if isinstance(self.schedule, CosineConfig) and self.schedule.warmup_epochs >= self.epochs:
            raise ValueError(
                f"schedule.warmup_epochs is {self.schedule.warmup_epochs:g}, expected less than epochs, {self.epochs}"
            )
        return self


class ColorConfig(Config):
    """The largest random change of three factors, each drawn from 1 - value to 1 + value; 0 changes nothing.

    Attributes:
        brightness: factor of every pixel value; black stays black.
        contrast: factor of the difference from the image's mean gray.
        saturation: factor of the difference between a pixel's color and its own gray.

    """

    brightness: Fraction
    contrast: Fraction
    saturation: Fraction


class AugmentConfig(Config):
    """Random changes of training images and their boxes, drawn again in every epoch.

    Attributes:
        flip_probability: of mirroring an image left to right.
        max_translate_fraction: largest shift along each axis, as a fraction of the image's side.
        scale: smallest and largest factor of the image's size; (1, 1) keeps the size.
        rotate_degrees: largest rotation in either direction.
        color: changes of color; None for none.

    """

    flip_probability: Fraction
    max_translate_fraction: Fraction
    scale: Annotated[tuple[PositiveFloat, PositiveFloat], TupleFromList]
    rotate_degrees: Annotated[float, Field(ge=0, le=180)]
    color: ColorConfig | None

    @model_validator(mode="after")
    def _require_ascending_scale(self) -> Self:
        low, high = self.scale
        if low > high:
            raise ValueError(f"scale begins at {low:g} and ends at {high:g}, expected the smaller factor first")
        return self


class TrainConfig(Config):
    """How a model is fitted.

    Attributes:
        batch_size: images per step.
        validation_batches: batches of the shuffled training images that are held out for validation; 0 for none.
        precision: dtype policy of the layers. Outputs, losses and box coordinates stay float32 under every policy.
        xla: compile the training step with XLA, which starts more slowly and runs faster on GPUs. JAX always does:
            there, true allows operations on a GPU whose order of summation varies from run to run.
        phases: by the names that the system declares, in order. An empty mapping uses the pretrained weights as they
            are.
        augment: random changes of the training images; None for none.
        logged_images: images on the training page, whose predictions are logged after every epoch.

    """

    batch_size: PositiveInt
    validation_batches: NonNegativeInt
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    xla: bool = False
    phases: dict[Name, PhaseConfig]
    augment: AugmentConfig | None = None
    logged_images: PositiveInt = 8

    @model_validator(mode="after")
    def _require_validation_for_early_stopping(self) -> Self:
        if self.validation_batches:
            return self
        for phase in self.phases.values():
            if phase.patience or isinstance(phase.schedule, PlateauConfig):
                name = "patience" if phase.patience else "a schedule of kind plateau"
                raise ValueError(f"{name} needs validation_batches of at least 1")
        return self
