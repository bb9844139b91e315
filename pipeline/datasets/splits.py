"""Assigns images to splits: as their files have it, by shares, or in folds."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.config import Config, Fraction, Seed
from pipeline.datasets.annotations import NO_SPLIT, Reading


class PublishedSplits(Config):
    """The splits of the files.

    Attributes:
        train: the split of the files to train with, if another one than train.

    """

    kind: Literal["published"]
    train: Literal["train", "val", "test"] = "train"


class RandomSplits(Config):
    """Shares of the images, by a seed.

    Attributes:
        val: fraction of the images, 0..1.
        test: fraction of the images, 0..1.
        seed: of the assignment.

    """

    kind: Literal["random"] = "random"
    val: Fraction = 0.2
    test: Fraction = 0.0
    seed: Seed = 2017


SplitConfig = Annotated[PublishedSplits | RandomSplits, Field(discriminator="kind")]


def has_splits(reading: Reading) -> bool:
    """Whether the files assign every image to a split."""
    return NO_SPLIT not in reading.tables.images["split"].unique().to_pylist()
