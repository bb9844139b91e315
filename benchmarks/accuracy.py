"""Published and improved systems side by side, on the same data and in no more time: python -m benchmarks.accuracy

Every system is trained once per seed, the seeds one after the other; after each training the figures so far are written
to benchmarks/results/accuracy.json. Rows on real data need it beside the project. Where nothing was left out, the
tables of docs/results.md are written in the end. Ends with an error where an improved system took more time.
"""

import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.scratch import PROJECT, REAL_DATA, Parameters, Scratch, of_system
from benchmarks.tables_in_docs import replace_table
from pipeline.core.atomic_files import write_json

SEEDS = (2017, 2018, 2019)
RESULTS = Path(__file__).parent / "results" / "accuracy.json"
PUBLISHED, IMPROVED = "published", "improved"


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
        (Entry(PUBLISHED, "digits_localizer"), Entry(IMPROVED, "digits_distributional_localizer")),
        is_real=True,
    ),
    Comparison(
        "1,024 / 1,000 rectangles",
        {"datasets.rectangles.sample.val_images": 1000},
        (
            Entry(PUBLISHED, "rectangle_localizer", {"preset.scale": "published"}),
            Entry(IMPROVED, "rectangle_distributional_localizer"),
        ),
    ),
    Comparison(
        "3,000 / 400 shape scenes, 160 px",
        SCENES,
        (
            Entry(PUBLISHED, "coco_yolo", {"pack.image_size": 160, "train.phases.all.epochs": 16}),
            Entry(IMPROVED, "coco_anchor_free_detector"),
        ),
    ),
    Comparison(
        "3,000 / 400 shape scenes, 128 px",
        SCENES,
        (
            Entry(PUBLISHED, "coco_retinanet", {"pack.image_size": 128, "train.phases.all.epochs": 5}),
            Entry(IMPROVED, "coco_retinanet_coarse"),
        ),
    ),
    Comparison(
        "1,200 / 200 drawn snacks",
        {},
        (Entry(PUBLISHED, "snack_localizer"), Entry(IMPROVED, "snack_distributional_localizer")),
    ),
    Comparison(
        "61 / 25 snack-like crops",
        {"datasets.snacks.source": str(REAL_DATA / "snacks")},
        (
            Entry(PUBLISHED, "snack_localizer", SNACKS),
            Entry(IMPROVED, "snack_distributional_localizer", {**SNACKS, "train.phases.all.epochs": 50}),
        ),
        is_real=True,
    ),
    Comparison(
        "215 / 108 COCO images, 160 px",
        {"datasets.coco.source": str(REAL_DATA / "coco")},
        (
            Entry(PUBLISHED, "coco_yolo", {"pack.image_size": 160}),
            Entry("as published, pixels cropped", "coco_yolo", {"pack.image_size": 160, "pack.resize": "crop"}),
            Entry(IMPROVED, "coco_anchor_free_detector", {"train.phases.all.epochs": 8}),
        ),
        is_real=True,
    ),
)


def main() -> None:
    """Train everything. The machine has to be idle, since seconds are told."""
    rows: list[dict[str, Any]] = []
    left_out = [comparison for comparison in COMPARISONS if comparison.is_real and not REAL_DATA.is_dir()]
    for comparison in left_out:
        print(f"{comparison.data}: left out, there is no {REAL_DATA.relative_to(PROJECT.parent)}", flush=True)
    for seed in SEEDS:
        for comparison in [comparison for comparison in COMPARISONS if comparison not in left_out]:
            with tempfile.TemporaryDirectory() as folder:
                scratch = Scratch(Path(folder))
                for entry in comparison.entries:
                    result = scratch.evaluate(entry.system, {"seed": seed, **parameters(comparison, entry)})
                    _row(rows, comparison, entry)["seeds"][str(seed)] = result
                    print(f"{comparison.data}, {entry.system}, {entry.label}, seed {seed}: {result}", flush=True)
                    write_json(RESULTS, {"rows": rows})
    if not left_out:
        replace_table(PROJECT / "docs" / "results.md", "accuracy", table(rows))
        replace_table(PROJECT / "docs" / "results.md", "errors", errors_table(rows))
    improved = [row for row in rows if row["label"] == IMPROVED]
    slower = [f"{row['system']} on {row['data']}" for row in improved if _share_of_time(row, rows) > 1]
    if slower:
        raise SystemExit(f"Took more time than the published system: {', '.join(slower)}. Lower its epochs.")


def parameters(comparison: Comparison, entry: Entry) -> Parameters:
    """What the entry is trained with instead of what params.yaml holds."""
    return {**comparison.parameters, **of_system(entry.system, entry.parameters)}


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
        "oracle",
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
        _spread([one], f"baseline_{headline}"),
        _spread([one], f"oracle_{headline}"),
        f"{one['parameters']:,}",
        str(one["epochs"]),
        f"{_seconds(row):.0f}",
        f"{_share_of_time(row, rows):.2f}",
    )


def _share_of_time(row: dict[str, Any], rows: list[dict[str, Any]]) -> float:
    """Of the published system's, which is the first of the same comparison."""
    *_, rival = (other for other in rows[: rows.index(row) + 1] if other["label"] == PUBLISHED)
    return _seconds(row) / _seconds(rival)


def _seconds(row: dict[str, Any]) -> float:
    return statistics.mean(result["seconds"] for result in row["seeds"].values())


def _spread(results: list[dict[str, Any]], name: str) -> str:
    """The mean over seeds, and half the range where there are several; with more digits where three show nothing."""
    values = [result[name] for result in results]
    mean = statistics.mean(values)
    digits = 6 if 0 < mean < 0.001 else 3
    return f"{mean:.{digits}f}" + (f" ± {(max(values) - min(values)) / 2:.{digits}f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
