"""The YOLO-style grid detector as a system."""

from typing import TYPE_CHECKING

from pipeline.systems.coco_yolo.config import ModelConfig, TargetsConfig
from pipeline.systems.common.interfaces import ModelFactory, System, TargetCodec, TargetDrawer, ViewWriter

if TYPE_CHECKING:
    from pipeline.pretrained.interfaces import PretrainedSource


class CocoYolo(System[TargetsConfig, ModelConfig]):
    """Starts from a pretrained backbone."""

    targets_config = TargetsConfig
    model_config = ModelConfig
    pretrained_scales = ("small", "published")

    def target_codec(self) -> TargetCodec[TargetsConfig]:
        """A box and a class for every cell of a grid."""
        from pipeline.systems.coco_yolo.targets import GridCodec

        return GridCodec()

    def model_factory(self) -> ModelFactory[ModelConfig, TargetsConfig]:
        """ResNet, one convolution, two dense layers."""
        from pipeline.systems.coco_yolo.model import CocoYoloFactory

        return CocoYoloFactory()

    def pretrained_source(self) -> "PretrainedSource":
        """A ResNet with ImageNet weights."""
        from pipeline.pretrained.resnet import ResNetWeights

        return ResNetWeights()

    def target_drawer(self) -> TargetDrawer:
        """The class map."""
        from pipeline.plots.grid_view import draw_target_classes

        return draw_target_classes

    def view_writer(self) -> ViewWriter:
        """The grid view."""
        from pipeline.plots.grid_view import write_grid_view

        return write_grid_view
