"""The `evaluate` section of a system in params.yaml."""

from pipeline.params import Name, PositiveInt, Section, Share


class Evaluate(Section, frozen=True):
    """What is scored and shown.

    split: the images that are scored; training never sees them.
    pictures: how many of them are drawn, the ones with the smallest ids, the same in every run.
    score_threshold: boxes below it are left out of the pictures. Scores count every box.
    """

    split: Name
    pictures: PositiveInt
    score_threshold: Share
