"""Published and improved systems side by side, on the same data and in no more time: python -m benchmarks.accuracy

Every system is trained once per seed, the seeds one after the other; after each training the figures so far are written
to benchmarks/results/accuracy.json and as a table to docs/results.md. Rows on real data need it beside the project.
"""

import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.scratch import PROJECT, REAL_DATA, Parameters, Scratch
from benchmarks.tables_in_docs import replace_table
from pipeline.storage.files import write_json

SEEDS = (2017, 2018, 2019)
RESULTS = Path(__file__).parent / "results" / "accuracy.json"
PUBLISHED = "published"


@dataclass(frozen=True)
class Entry:
    """One row: a system, and what it is given beside what its competitors are given."""

    label: str
    system: str
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Systems on the same data. `parameters` are written for all of them; the first entry is the published system."""

    data: str
    parameters: Parameters
    entries: tuple[Entry, ...]
    is_real: bool = False


SCENES = {"datasets.coco.sample.train_images": 3000}
SNACKS = {"train.batch_size": 8, "train.validation_batches": 1}
COMPARISONS = (
    Comparison(
        "8,000 / 2,000 real digits",
        {"datasets.digits.source": str(REAL_DATA / "mnist")},
        (Entry(PUBLISHED, "digits_localizer"), Entry("improved", "digits_edge_localizer")),
        is_real=True,
    ),
    Comparison(
        "1,024 / 1,000 rectangles",
        {"datasets.rectangles.sample.val_images": 1000},
        (
            Entry(PUBLISHED, "rectangle_localizer", {"preset.scale": "published"}),
            Entry("improved", "rectangle_edge_localizer"),
        ),
    ),
    Comparison(
        "3,000 / 400 shape scenes, 160 px",
        SCENES,
        (
            Entry(PUBLISHED, "coco_yolo", {"pack.image_size": 160, "train.phases.all.epochs": 16}),
            Entry("improved", "coco_center_detector"),
        ),
    ),
    Comparison(
        "3,000 / 400 shape scenes, 160 px",
        SCENES,
        (
            Entry(PUBLISHED, "coco_retinanet", {"pack.image_size": 160, "train.phases.all.epochs": 3}),
            Entry("improved", "coco_retinanet_coarse"),
        ),
    ),
    Comparison(
        "1,200 / 200 drawn snacks",
        {},
        (Entry(PUBLISHED, "snack_localizer"), Entry("improved", "snack_edge_localizer")),
    ),
    Comparison(
        "61 / 25 snack-like crops",
        {"datasets.snacks.source": str(REAL_DATA / "snacks")},
        (
            Entry(PUBLISHED, "snack_localizer", SNACKS),
            Entry("improved", "snack_edge_localizer", {**SNACKS, "train.phases.all.epochs": 50}),
        ),
        is_real=True,
    ),
    Comparison(
        "215 / 108 COCO images, 160 px",
        {"datasets.coco.source": str(REAL_DATA / "coco")},
        (
            Entry(PUBLISHED, "coco_yolo", {"pack.image_size": 160}),
            Entry("as published, pixels cropped", "coco_yolo", {"pack.image_size": 160, "pack.resize": "crop"}),
            Entry("improved", "coco_center_detector", {"train.phases.all.epochs": 8}),
        ),
        is_real=True,
    ),
)


def main() -> None:
    """Train everything. The machine has to be idle, since seconds are told."""
    rows: list[dict[str, Any]] = []
    for seed in SEEDS:
        for comparison in COMPARISONS:
            if comparison.is_real and not REAL_DATA.is_dir():
                print(f"{comparison.data}: left out, there is no {REAL_DATA.relative_to(PROJECT.parent)}", flush=True)
                continue
            with tempfile.TemporaryDirectory() as folder:
                scratch = Scratch(Path(folder))
                for entry in comparison.entries:
                    own = {f"systems.{entry.system}.{key}": value for key, value in entry.parameters.items()}
                    result = scratch.evaluate(entry.system, {"seed": seed, **comparison.parameters, **own})
                    _row(rows, comparison, entry)["seeds"][str(seed)] = result
                    print(f"{comparison.data}, {entry.system}, {entry.label}, seed {seed}: {result}", flush=True)
                    write_json(RESULTS, {"rows": rows})
                    replace_table(PROJECT / "docs" / "results.md", "accuracy", table(rows))
                    replace_table(PROJECT / "docs" / "results.md", "errors", errors_table(rows))


def _row(rows: list[dict[str, Any]], comparison: Comparison, entry: Entry) -> dict[str, Any]:
    """The row of that entry, made where there is none yet."""
    named = {"data": comparison.data, "system": entry.system, "label": entry.label}
    for row in rows:
        if named.items() <= row.items():
            return row
    rows.append({**named, "seeds": {}})
    return rows[-1]


def table(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The rows as a reader of docs/results.md sees them."""
    head = (
        "data (train / scored)",
        "system",
        "score",
        "more",
        "baseline",
        "ceiling",
        "parameters",
        "epochs",
        "seconds",
        "of the published one's",
    )
    return [head, *(_cells(row, rows) for row in rows)]


def errors_table(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Kinds of errors with the first seed: the AP50 that they cost a detector, the share of a localizer's boxes."""
    return [
        ("data", "system", "errors"),
        *((row["data"], f"{row['system']}, {row['label']}", _kinds(row)) for row in rows),
    ]


def _kinds(row: dict[str, Any]) -> str:
    [first, *_] = row["seeds"].values()
    return ", ".join(f"{kind['kind']} {kind.get('lost_AP50', kind.get('share')):.3f}" for kind in first["kinds"])


def _cells(row: dict[str, Any], rows: list[dict[str, Any]]) -> tuple[str, ...]:
    results = list(row["seeds"].values())
    one = results[0]
    headline, *others = ("AP", "AP50", "AP75") if "AP" in one else ("mean_iou", "accuracy", "iou_50", "iou_60")
    return (
        row["data"],
        f"{row['system']}, {row['label']}",
        f"{headline} {_spread(results, headline)}",
        ", ".join(f"{name} {_spread(results, name)}" for name in others),
        f"{one[f'baseline_{headline}']:.3f}",
        f"{one[f'ceiling_{headline}']:.3f}",
        f"{one['parameters']:,}",
        str(one["epochs"]),
        f"{_seconds(row):.0f}",
        f"{_seconds(row) / _seconds(_rival(row, rows)):.2f}",
    )


def _rival(row: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The published system's row of the same comparison, the first of its rows."""
    *_, rival = (other for other in rows[: rows.index(row) + 1] if other["label"] == PUBLISHED)
    return rival


def _seconds(row: dict[str, Any]) -> float:
    return statistics.mean(result["seconds"] for result in row["seeds"].values())


def _spread(results: list[dict[str, Any]], name: str) -> str:
    """The mean over seeds, and half the range where there are several."""
    values = [result[name] for result in results]
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {(max(values) - min(values)) / 2:.3f}"


if __name__ == "__main__":
    main()
