"""The `pack` section of a system in params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.config import Config, IntegerLiteral, PositiveInt

ImageSize = Annotated[int, Field(ge=1, le=4096)]
Channels = Annotated[Literal[1, 3], IntegerLiteral]
Resize = Literal["letterbox", "crop", "stretch"]


class PackConfig(Config):
    """How images become model inputs.

    Attributes:
        image_size: side of the square model input in pixels, 4096 at most.
        channels: 3 for RGB, 1 for gray.
        resize: "letterbox" pads the shorter side. "stretch" scales each axis separately to the whole square, as the
            published snack system does, and the boxes with it. "crop" cuts off the longer side while the boxes still
            follow the letterbox: the mistake of a published system, kept to measure its effect.
        shard_images: largest number of images per file. Each file covers a range of image ids, which is halved until
            it holds no more of them. A file is packed by one core and rewritten if one of its images changes; some
            10 MB per file work well.

    """

    image_size: ImageSize
    channels: Channels
    resize: Resize
    shard_images: PositiveInt
