"""The `train` section of a system in params.yaml."""

from typing import Annotated, Literal

from msgspec import Meta

from pipeline.params import Name, NonNegativeInt, PositiveFloat, PositiveInt, Section


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


class Train(Section, frozen=True):
    """How a model is fitted.

    batch_size: images of one step.
    validation_batches: batches of the shuffled training images that are held out; 0 for none.
    precision: of the layers' arithmetic. Outputs, losses and overlaps stay float32 under every choice.
    xla: compile the step with XLA: slower to start, faster on GPUs.
    phases: what is fitted, one after the other, by the part's name. None: the preset is used as it is.
    """

    batch_size: PositiveInt
    validation_batches: NonNegativeInt
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    xla: bool
    phases: dict[Name, Phase]

    def __post_init__(self) -> None:
        """Early stopping watches the held-out batches."""
        if not self.validation_batches and any(phase.patience for phase in self.phases.values()):
            raise ValueError("patience needs validation_batches of at least 1")
