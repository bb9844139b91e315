"""Round trips through a target codec."""

from typing import Any

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.systems.common.interfaces import TargetCodec


def round_trip(codec: TargetCodec[Any], boxes: LabeledBoxes, config: Any, num_labels: int) -> LabeledBoxes:
    """Encode one example and decode the perfect predictions for it."""
    targets = {name: values[None] for name, values in codec.encode(boxes, config).items()}
    [decoded] = codec.decode(codec.oracle_outputs(targets, num_labels))
    return decoded


def example_rows(
    codec: TargetCodec[Any], boxes: LabeledBoxes, config: Any, *, training: bool = True
) -> list[list[int]]:
    """The rows of the boxes of each example that an image yields."""
    return [rows.tolist() for rows in codec.select_examples(boxes, config, training=training)]
