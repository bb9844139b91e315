"""Five boxes in three images; two boxes of image 3 have their centers in one cell of a 2 x 2 grid."""

from pipeline.geometry.resize import letterbox
from pipeline.systems.coco_yolo.config import TargetsConfig
from pipeline.systems.coco_yolo.targets import GridCodec
from pipeline.targets.writer import labels_of
from tests.support.scenes import box, image, tables

GRID_2 = TargetsConfig(grid_size=2, max_boxes=2, tie_break="last", boxes_per_cell=1, crowd="encode")
TRANSFORMS = {7: letterbox(640, 427, 160), 3: letterbox(100, 80, 160), 12: letterbox(640, 427, 160)}
TABLES = tables(
    [image(7, "train"), image(3, "train", width=100, height=80), image(12, "train")],
    [
        box(1, 7, 5, (10, 20, 30, 40)),
        box(4, 3, 2, (0, 0, 30, 20)),
        box(9, 3, 5, (5, 5, 25, 30)),  # its center is in the same cell as the previous one, which is lost
        box(5, 7, 2, (400, 300, 100, 60)),
        box(6, 7, 2, (10, 300, 100, 60)),
    ],
)
CODEC = GridCodec()
LABELS = labels_of(TABLES.categories, CODEC)
