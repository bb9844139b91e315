"""The `train` section of a system in params.yaml."""

from pipeline.params import NonNegativeInt, PositiveFloat, PositiveInt, Section


class Train(Section, frozen=True):
    """How a model is fitted.

    validation_batches: batches of the shuffled training images that are held out; 0 for none.
    patience: epochs without a better validation loss after which training stops and goes back to the best weights;
        null to train all epochs and keep the last ones.
    """

    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    validation_batches: NonNegativeInt
    patience: PositiveInt | None

    def __post_init__(self) -> None:
        """Early stopping watches the held-out batches."""
        if self.patience is not None and not self.validation_batches:
            raise ValueError("patience needs validation_batches of at least 1")
