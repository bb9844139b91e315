"""The entry of KerasHub's RetinaNet in the registry: its configuration, codec, model and pretrained weights."""

from typing import TYPE_CHECKING

from pipeline.systems.coco_retinanet.config import ModelConfig, TargetsConfig
from pipeline.systems.common.interfaces import ModelFactory, System, TargetCodec

if TYPE_CHECKING:
    from pipeline.pretrained.interfaces import PretrainedSource


class CocoRetinaNet(System[TargetsConfig, ModelConfig]):
    """Starts from a whole pretrained detector."""

    targets_config = TargetsConfig
    model_config = ModelConfig
    pretrained_scales = ("small", "coarse", "published")

    def target_codec(self) -> TargetCodec[TargetsConfig]:
        """All boxes of an image, padded to a fixed number; the network matches them to anchors."""
        from pipeline.systems.coco_retinanet.targets import RetinaNetCodec

        return RetinaNetCodec()

    def model_factory(self) -> ModelFactory[ModelConfig, TargetsConfig]:
        """KerasHub's detector, adapted to packed images."""
        from pipeline.systems.coco_retinanet.model import RetinaNetFactory

        return RetinaNetFactory()

    def pretrained_source(self) -> "PretrainedSource":
        """KerasHub's detector with COCO weights."""
        from pipeline.pretrained.retinanet import RetinaNetWeights

        return RetinaNetWeights()
