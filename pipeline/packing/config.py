"""The `pack` section of a system in params.yaml."""

from typing import Annotated, Literal

from msgspec import Meta

from pipeline.core.config import Config, PositiveInt

ImageSize = Annotated[int, Meta(ge=1, le=4096)]
Channels = Literal[1, 3]
Resize = Literal["letterbox", "crop", "stretch"]


class PackConfig(Config, frozen=True):
    """How images become model input.

    image_size: side of the square input in pixels, 4096 at most.
    channels: 3 for RGB, 1 for grey.
    resize: "letterbox" pads the shorter side. "stretch" scales each axis on its own to the whole square, as the
        published snack system does, and the boxes with it. "crop" cuts the longer side off while the boxes still
        follow the letterbox: the mistake of a published system, kept so that its harm can be measured.
    shard_images: images per file at most; each file has a range of image ids, halved until it holds no more of them.
        A file is what one core packs and what changes when an image in it does: some ten MB serve well.
    """

    image_size: ImageSize
    channels: Channels
    resize: Resize
    shard_images: PositiveInt
