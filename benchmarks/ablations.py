"""The effect of each option on its own, on little data: python -m benchmarks.ablations

Small images, few epochs and one seed show the direction of an effect, not its size. The first row of a group is the
baseline that the others change. Results are written to benchmarks/results/ablations.json and docs/results.md after each
training.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.docs_tables import replace_table
from benchmarks.scratch_project import PROJECT, Parameters, ScratchProject, for_system
from pipeline.core.atomic_files import write_json

RESULTS = Path(__file__).parent / "results" / "ablations.json"

NO_AUGMENTATION = {
    "flip_probability": 0,
    "max_translate_fraction": 0,
    "scale": [1, 1],
    "rotate_degrees": 0,
    "color": None,
}
COSINE = {"kind": "cosine", "warmup_epochs": 0.5, "final_lr_fraction": 0.0}
STEP = {"kind": "step", "every_epochs": 4, "factor": 0.3}
PLATEAU = {"kind": "plateau", "patience": 1, "factor": 0.3}
THIRTY = {"epochs": 30, "learning_rate": 0.001}


def _augmented(**changes: Any) -> Parameters:
    return {"train.augment": {**NO_AUGMENTATION, **changes}}


SCENES = {"datasets.coco.sample.train_images": 3000}

GROUPS: Mapping[str, tuple[Parameters, Parameters, Mapping[str, Parameters]]] = {
    "digits_localizer": (
        {},
        {"train.phases.all.epochs": 10},
        {
            "as published, 10 epochs": {},
            "deeper box head": {"model.box_units": [128, 64, 32]},
            "second phase: box head alone": {
                "train.phases": {
                    "all": {"epochs": 10, "learning_rate": 0.001, "patience": 10},
                    "boxes": {"epochs": 10, "learning_rate": 0.001, "patience": 10},
                }
            },
            "20 epochs": {"train.phases.all.epochs": 20},
            "schedule: cosine": {"train.phases.all.schedule": {**COSINE, "warmup_epochs": 0}},
            "schedule: warm-up and cosine": {"train.phases.all.schedule": COSINE},
            "schedule: step": {"train.phases.all.schedule": STEP},
            "schedule: plateau": {"train.phases.all.schedule": PLATEAU},
        },
    ),
    "rectangle_localizer": (
        {},
        {},
        {
            "as published, small random weights": {},
            "output: hard sigmoid": {"model.output": "hard_sigmoid"},
            "output: linear": {"model.output": "linear"},
            "output: leaky ReLU": {"model.output": "leaky_relu"},
            "30 epochs": {"train.phases.head.epochs": 30},
            "30 epochs, schedule: plateau": {"train.phases.head": {**THIRTY, "schedule": PLATEAU}},
        },
    ),
    "coco_yolo": (
        SCENES,
        {"train.phases.all.epochs": 15},
        {
            "as published, 96 px, 15 epochs": {},
            "30 epochs": {"train.phases.all.epochs": 30},
            "all images instead of those with <= 4 boxes": {"targets.max_boxes": None},
            "smaller box wins": {"targets.tie_break": "smallest"},
            "2 boxes per cell": {"targets.boxes_per_cell": 2},
            "12 x 12 cells": {"targets.grid_size": 12},
            "crowd regions ignored": {"targets.crowd": "ignore"},
        },
    ),
    "coco_anchor_free_detector": (
        SCENES,
        {"pack.image_size": 96, **_augmented()},
        {
            "96 px, no augmentation": {},
            "flip": _augmented(flip_probability=0.5),
            "translate": _augmented(max_translate_fraction=0.15),
            "scale": _augmented(scale=[0.75, 1.33]),
            "rotate": _augmented(rotate_degrees=10),
            "color": _augmented(color={"brightness": 0.3, "contrast": 0.3, "saturation": 0.3}),
            "topk: 1": {"model.topk": 1},
            "pixels cropped, boxes not": {"pack.resize": "crop"},
        },
    ),
    "coco_retinanet_coarse": (
        SCENES,
        {
            "pack.image_size": 96,
            **_augmented(flip_probability=0.5),
            "train.phases.all.epochs": 5,
            "train.phases.all.schedule": {**COSINE, "warmup_epochs": 0.2, "final_lr_fraction": 0.01},
        },
        {
            "96 px, flip, cosine": {},
            "class head initialized as in KerasHub": {"model.class_prior": None},
            "pyramid, anchors and box head as in KerasHub": {"pretrained.scale": "small"},
            "crowd regions encoded": {"targets.crowd": "encode"},
            "schedule: constant": {"train.phases.all.schedule": None},
            "schedule: step": {"train.phases.all.schedule": STEP},
            "no flip": {"train.augment": None},
        },
    ),
}


def main() -> None:
    """Train every variant once."""
    rows: list[dict[str, Any]] = []
    for system, (data, common, variants) in GROUPS.items():
        with tempfile.TemporaryDirectory() as folder:
            scratch = ScratchProject(Path(folder))
            for label, changes in variants.items():
                result = scratch.evaluate(system, {**data, **for_system(system, {**common, **changes})})
                del result["seconds"]  # the machine need not be idle
                rows.append({"system": system, "label": label, **result})
                print(f"{system}, {label}: {result}", flush=True)
                write_json(RESULTS, {"rows": rows})
                replace_table(PROJECT / "docs" / "results.md", "ablations", table(rows))


def table(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The header and cells of the table `ablations` of docs/results.md."""
    return [("system", "option", "score", "more", "oracle", "parameters"), *map(_cells, rows)]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    primary, *others = ("AP", "AP50") if "AP" in row else ("mean_iou", "accuracy")
    return (
        row["system"],
        row["label"],
        f"{primary} {row[primary]:.3f}",
        ", ".join(f"{name} {row[name]:.3f}" for name in others),
        f"{row[f'oracle_{primary}']:.3f}",
        f"{row['parameters']:,}",
    )


if __name__ == "__main__":
    main()
