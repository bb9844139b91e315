"""The rectangle localizer as a system."""

from typing import TYPE_CHECKING

from pipeline.systems.common.interfaces import ModelFactory, System, TargetCodec
from pipeline.systems.rectangle_localizer.config import ModelConfig, TargetsConfig

if TYPE_CHECKING:
    from pipeline.pretrained.interfaces import PretrainedSource


class RectangleLocalizer(System[TargetsConfig, ModelConfig]):
    """Starts from a pretrained backbone, which stays frozen."""

    phases = ("head",)
    targets_config = TargetsConfig
    model_config = ModelConfig
    pretrained_scales = ("small", "published")

    def target_codec(self) -> TargetCodec[TargetsConfig]:
        """One sigmoid-encoded box."""
        from pipeline.systems.rectangle_localizer.targets import RectangleCodec

        return RectangleCodec()

    def model_factory(self) -> ModelFactory[ModelConfig, TargetsConfig]:
        """VGG16 and one dense layer."""
        from pipeline.systems.rectangle_localizer.model import RectangleLocalizerFactory

        return RectangleLocalizerFactory()

    def pretrained_source(self) -> "PretrainedSource":
        """VGG16 with ImageNet weights."""
        from pipeline.pretrained.vgg import VggWeights

        return VggWeights()
