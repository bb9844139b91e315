"""The sections of params.yaml that belong to the rectangle localizer."""

from typing import Literal

from pipeline.core.config import Config


class TargetsConfig(Config):
    """Has no options: there is one box per image."""


class ModelConfig(Config):
    """Options of the network.

    Attributes:
        generate_images: draw new rectangles for every training step, as published, instead of using the packed ones.
            The frozen layers then process every image, whereas their outputs for packed images are computed once.
        output: activation of the dense layer. "sigmoid", as published, and "hard_sigmoid" predict 0 to 1 and are
            trained with binary cross-entropy; "linear" and "leaky_relu" predict any number and are trained with squared
            error.

    """

    generate_images: bool
    output: Literal["sigmoid", "hard_sigmoid", "linear", "leaky_relu"]
