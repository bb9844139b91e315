"""The distributional localizer as a system."""

from pipeline.systems.common.interfaces import ModelFactory, System, TargetCodec
from pipeline.systems.distributional_localizer.config import ModelConfig, TargetsConfig


class DistributionalLocalizer(System[TargetsConfig, ModelConfig]):
    """One localizer for every dataset with one box per image, trained from random weights."""

    targets_config = TargetsConfig
    model_config = ModelConfig

    def target_codec(self) -> TargetCodec[TargetsConfig]:
        """One class and the four edges of one box."""
        from pipeline.systems.distributional_localizer.targets import EdgeCodec

        return EdgeCodec()

    def model_factory(self) -> ModelFactory[ModelConfig, TargetsConfig]:
        """Edge distributions and a classifier of the cropped box."""
        from pipeline.systems.distributional_localizer.model import DistributionalLocalizerFactory

        return DistributionalLocalizerFactory()
