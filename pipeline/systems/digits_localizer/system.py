"""The digit localizer as a system."""

from pipeline.systems.common.interfaces import ModelFactory, System, TargetCodec
from pipeline.systems.digits_localizer.config import ModelConfig, TargetsConfig


class DigitsLocalizer(System[TargetsConfig, ModelConfig]):
    """Phases: `all` trains the whole network from random weights, `boxes` the box head alone."""

    phases = ("all", "boxes")
    targets_config = TargetsConfig
    model_config = ModelConfig

    def target_codec(self) -> TargetCodec[TargetsConfig]:
        """One class and one box."""
        from pipeline.systems.digits_localizer.targets import DigitsCodec

        return DigitsCodec()

    def model_factory(self) -> ModelFactory[ModelConfig, TargetsConfig]:
        """Three convolutions and two heads."""
        from pipeline.systems.digits_localizer.model import DigitsLocalizerFactory

        return DigitsLocalizerFactory()
