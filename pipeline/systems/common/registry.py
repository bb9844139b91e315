"""The systems by the name of their module in params.yaml, each imported lazily.

Only the stages of a system depend on its code, so importing the registry imports no system.
"""

from collections.abc import Callable
from typing import Any

from pipeline.core.errors import BoxlineError, join_items
from pipeline.systems.common.interfaces import System


def _anchor_free_detector() -> System[Any, Any]:
    from pipeline.systems.anchor_free_detector.system import AnchorFreeDetector

    return AnchorFreeDetector()


def _coco_retinanet() -> System[Any, Any]:
    from pipeline.systems.coco_retinanet.system import CocoRetinaNet

    return CocoRetinaNet()


def _coco_yolo() -> System[Any, Any]:
    from pipeline.systems.coco_yolo.system import CocoYolo

    return CocoYolo()


def _digits_localizer() -> System[Any, Any]:
    from pipeline.systems.digits_localizer.system import DigitsLocalizer

    return DigitsLocalizer()


def _distributional_localizer() -> System[Any, Any]:
    from pipeline.systems.distributional_localizer.system import DistributionalLocalizer

    return DistributionalLocalizer()


def _rectangle_localizer() -> System[Any, Any]:
    from pipeline.systems.rectangle_localizer.system import RectangleLocalizer

    return RectangleLocalizer()


def _snack_localizer() -> System[Any, Any]:
    from pipeline.systems.snack_localizer.system import SnackLocalizer

    return SnackLocalizer()


SYSTEMS: dict[str, Callable[[], System[Any, Any]]] = {
    "anchor_free_detector": _anchor_free_detector,
    "coco_retinanet": _coco_retinanet,
    "coco_yolo": _coco_yolo,
    "digits_localizer": _digits_localizer,
    "distributional_localizer": _distributional_localizer,
    "rectangle_localizer": _rectangle_localizer,
    "snack_localizer": _snack_localizer,
}


def get_system(module: str, where: str = "params.yaml: systems.<name>.module") -> System[Any, Any]:
    """The system of that module.

    Args:
        module: a key of SYSTEMS.
        where: the place that names the module, for the error message.

    Raises:
        BoxlineError: if there is no such system; the message lists the known ones.

    """
    if module not in SYSTEMS:
        raise BoxlineError(f"{where}: received {module!r}, expected one of {join_items(sorted(SYSTEMS))}.")
    return SYSTEMS[module]()
