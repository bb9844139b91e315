"""The fixed set of pictures that evaluation draws for every system."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from pipeline.datasets.tables import Tables, boxes_by_image
from pipeline.drawing import save_predictions
from pipeline.evaluation.params import Evaluate
from pipeline.geometry.marks import Marks
from pipeline.geometry.placement import Placement
from pipeline.storage.shards import Shards
from pipeline.systems.labels import Labels
from pipeline.systems.verbs import Codec, write_views


def write_pictures(
    folder: Path,
    module: str,
    section: Evaluate,
    model: keras.Model,
    images: Shards,
    truth: Tables,
    placements: Mapping[int, Placement],
    codec: Codec,
    labels: Labels,
) -> None:
    """`predictions.png`, boxes above the threshold over the true ones, and the views that the system brings itself."""
    image_ids = np.sort(truth.images["image_id"].to_numpy())[: section.pictures]
    squares = images.take("image", images.rows_of(image_ids))
    outputs = {name: np.asarray(values) for name, values in model.predict_on_batch(squares).items()}
    found = codec.decode(outputs).by_image(len(image_ids))
    true = [
        Marks(placements[int(image_id)].boxes_to_square(boxes_xywh), labels.of_categories(category_ids))
        for image_id, (boxes_xywh, category_ids) in zip(image_ids, boxes_by_image(truth.boxes, image_ids), strict=True)
    ]
    above = [marks.above(section.score_threshold) for marks in found]
    save_predictions(folder / "predictions.png", squares, true, above, labels.names)
    views = write_views(module)
    if views is not None:
        views(folder, squares, outputs, true, found, labels.names, section.score_threshold)
