"""The snack localizer as a system."""

from typing import TYPE_CHECKING

from pipeline.systems.common.interfaces import ModelFactory, System, TargetCodec
from pipeline.systems.snack_localizer.config import ModelConfig, TargetsConfig

if TYPE_CHECKING:
    from pipeline.pretrained.interfaces import PretrainedSource


class SnackLocalizer(System[TargetsConfig, ModelConfig]):
    """Starts from a pretrained backbone."""

    phases = ("classifier", "boxes")
    targets_config = TargetsConfig
    model_config = ModelConfig
    pretrained_scales = ("small", "published")

    def target_codec(self) -> TargetCodec[TargetsConfig]:
        """One class and one box per example."""
        from pipeline.systems.snack_localizer.targets import SnackCodec

        return SnackCodec()

    def model_factory(self) -> ModelFactory[ModelConfig, TargetsConfig]:
        """MobileNet and two heads."""
        from pipeline.systems.snack_localizer.model import SnackLocalizerFactory

        return SnackLocalizerFactory()

    def pretrained_source(self) -> "PretrainedSource":
        """MobileNet with ImageNet weights."""
        from pipeline.pretrained.mobilenet import MobileNetWeights

        return MobileNetWeights()
