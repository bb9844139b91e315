"""The anchor-free detector as a system."""

from pipeline.systems.anchor_free_detector.config import ModelConfig, TargetsConfig
from pipeline.systems.common.interfaces import ModelFactory, System, TargetCodec


class AnchorFreeDetector(System[TargetsConfig, ModelConfig]):
    """A feature pyramid on a backbone of its own, trained from random weights."""

    targets_config = TargetsConfig
    model_config = ModelConfig

    def target_codec(self) -> TargetCodec[TargetsConfig]:
        """All boxes of an image, padded to a fixed number; the loss assigns them to cells."""
        from pipeline.systems.anchor_free_detector.targets import AnchorFreeCodec

        return AnchorFreeCodec()

    def model_factory(self) -> ModelFactory[ModelConfig, TargetsConfig]:
        """Backbone, feature pyramid and shared head."""
        from pipeline.systems.anchor_free_detector.model import AnchorFreeDetectorFactory

        return AnchorFreeDetectorFactory()
