"""Compare published systems and their variants on the same data and training time: python -m benchmarks.accuracy

Every system is trained once per seed. After each training the results so far are written to
benchmarks/results/accuracy.json. Rows on real data are skipped if that data is not available. If no row was skipped,
the tables of docs/results.md are replaced at the end. Exits with an error if a variant took more time than the
published system.

    python -m benchmarks.accuracy --system digits_localizer --seeds 2017 1

runs the comparisons with that system only, and keeps the other rows of accuracy.json.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.docs_tables import replace_table
from benchmarks.scratch_project import PROJECT, REAL_DATA, Parameters, ScratchProject, for_system
from pipeline.core.atomic_files import read_json, write_json

SEEDS = (2017, 2018, 2019)
RESULTS = Path(__file__).parent / "results" / "accuracy.json"
PUBLISHED, VARIANT = "published", "variant"


@dataclass(frozen=True)
class Entry:
    """One row of a comparison.

    Attributes:
        label: what the row shows next to the system.
        system: a key of `systems` in params.yaml.
        parameters: values of its section that only this entry uses.

    """

    label: str
    system: str
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Systems on the same data.

    Attributes:
        data: what the rows show as data.
        parameters: values of params.yaml that all entries use.
        entries: the systems; the first one is the published one.
        is_real: whether the data is a sample of real data next to the project.

    """

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
        (
            Entry(PUBLISHED, "digits_localizer"),
            Entry("pixels / 255", "digits_localizer", {"model.pixel_scale": "unit"}),
            Entry(VARIANT, "digits_distributional_localizer"),
        ),
        is_real=True,
    ),
    Comparison(
        "1,024 / 1,000 rectangles",
        {"datasets.rectangles.sample.val_images": 1000},
        (
            Entry(PUBLISHED, "rectangle_localizer", {"pretrained.scale": "published"}),
            Entry(VARIANT, "rectangle_distributional_localizer"),
        ),
    ),
    Comparison(
        "3,000 / 400 shape scenes, 160 px",
        SCENES,
        (
            Entry(PUBLISHED, "coco_yolo", {"pack.image_size": 160, "train.phases.all.epochs": 16}),
            Entry(VARIANT, "coco_anchor_free_detector"),
        ),
    ),
    Comparison(
        "3,000 / 400 shape scenes, 128 px",
        SCENES,
        (
            Entry(PUBLISHED, "coco_retinanet", {"pack.image_size": 128, "train.phases.all.epochs": 5}),
            Entry(VARIANT, "coco_retinanet_coarse"),
        ),
    ),
    Comparison(
        "1,200 / 200 drawn snacks",
        {},
        (Entry(PUBLISHED, "snack_localizer"), Entry(VARIANT, "snack_distributional_localizer")),
    ),
    Comparison(
        "61 / 25 snack-like crops",
        {"datasets.snacks.source": str(REAL_DATA / "snacks")},
        (
            Entry(PUBLISHED, "snack_localizer", SNACKS),
            Entry(VARIANT, "snack_distributional_localizer", {**SNACKS, "train.phases.all.epochs": 50}),
        ),
        is_real=True,
    ),
    Comparison(
        "215 / 108 COCO images, 160 px",
        {"datasets.coco.source": str(REAL_DATA / "coco")},
        (
            Entry(PUBLISHED, "coco_yolo", {"pack.image_size": 160}),
            Entry("as published, pixels cropped", "coco_yolo", {"pack.image_size": 160, "pack.resize": "crop"}),
            Entry(VARIANT, "coco_anchor_free_detector", {"train.phases.all.epochs": 8}),
        ),
        is_real=True,
    ),
)


def main() -> None:
    """Train everything, or what the arguments select. The machine must be idle, since the results contain seconds."""
    arguments = _parser().parse_args()
    selected = [c for c in COMPARISONS if arguments.system in (None, *(entry.system for entry in c.entries))]
    skipped = [comparison for comparison in selected if comparison.is_real and not REAL_DATA.is_dir()]
    for comparison in skipped:
        print(f"{comparison.data}: skipped, there is no {REAL_DATA.relative_to(PROJECT.parent)}", flush=True)
    rows = rows_without(read_json(RESULTS)["rows"], selected)
    for seed in arguments.seeds:
        for comparison in [comparison for comparison in selected if comparison not in skipped]:
            with tempfile.TemporaryDirectory() as folder:
                scratch = ScratchProject(Path(folder))
                for entry in comparison.entries:
                    result = scratch.evaluate(entry.system, {"seed": seed, **parameters(comparison, entry)})
                    add_result(rows, comparison, entry, seed, result)
                    print(f"{comparison.data}, {entry.system}, {entry.label}, seed {seed}: {result}", flush=True)
                    write_json(RESULTS, {"rows": rows})
    if not skipped:
        replace_table(PROJECT / "docs" / "results.md", "accuracy", table(rows))
        replace_table(PROJECT / "docs" / "results.md", "errors", errors_table(rows))
    variants = [row for row in rows if row["label"] == VARIANT]
    slower = [f"{row['system']} on {row['data']}" for row in variants if (_relative_time(row, rows) or 0) > 1]
    if slower:
        raise SystemExit(
            f"These variants took more time than the published system: {', '.join(slower)}. Reduce their epochs."
        )


def _parser() -> argparse.ArgumentParser:
    systems = sorted({entry.system for comparison in COMPARISONS for entry in comparison.entries})
    parser = argparse.ArgumentParser("python -m benchmarks.accuracy", description="Compare systems and variants.")
    parser.add_argument("--system", choices=systems, help="run only the comparisons with this system")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="one training per seed")
    return parser


def parameters(comparison: Comparison, entry: Entry) -> Parameters:
    """The values that replace those of params.yaml for an entry."""
    return {**comparison.parameters, **for_system(entry.system, entry.parameters)}


def rows_without(rows: list[dict[str, Any]], comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """The rows that the comparisons will not write."""
    replaced = {comparison.data for comparison in comparisons}
    return [row for row in rows if row["data"] not in replaced]


def add_result(
    rows: list[dict[str, Any]], comparison: Comparison, entry: Entry, seed: int, result: dict[str, Any]
) -> None:
    """Add a result to the row of that entry; rows stay in the order of COMPARISONS."""
    named = {"data": comparison.data, "system": entry.system, "label": entry.label}
    row = next((row for row in rows if named.items() <= row.items()), None)
    if row is None:
        row = {**named, "seeds": {}}
        rows.append(row)
        order = [(c.data, e.system, e.label) for c in COMPARISONS for e in c.entries]
        rows.sort(key=lambda row: order.index((row["data"], row["system"], row["label"])))
    row["seeds"][str(seed)] = result


def table(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The header and cells of the table `accuracy` of docs/results.md."""
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
        "relative time",
    )
    return [head, *(_cells(row, rows) for row in rows)]


def errors_table(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The table `errors` of the first seed: AP50 lost by each error type, or fractions of a localizer's boxes."""
    return [
        ("data", "system", "errors"),
        *((row["data"], f"{row['system']}, {row['label']}", _error_types(row)) for row in rows),
    ]


def _error_types(row: dict[str, Any]) -> str:
    [first, *_] = row["seeds"].values()
    return ", ".join(
        f"{each['error_type']} {each.get('lost_AP50', each.get('fraction')):.3f}" for each in first["error_types"]
    )


def _cells(row: dict[str, Any], rows: list[dict[str, Any]]) -> tuple[str, ...]:
    results = list(row["seeds"].values())
    one = results[0]
    primary, *others = ("AP", "AP50", "AP75") if "AP" in one else ("mean_iou", "accuracy", "iou_50", "iou_60")
    return (
        row["data"],
        f"{row['system']}, {row['label']}",
        f"{primary} {_spread(results, primary)}",
        ", ".join(f"{name} {_spread(results, name)}" for name in others),
        _spread([one], f"baseline_{primary}"),
        _spread([one], f"oracle_{primary}"),
        f"{one['parameters']:,}",
        str(one["epochs"]),
        _number(_seconds(row), 0),
        _number(_relative_time(row, rows), 2),
    )


def _relative_time(row: dict[str, Any], rows: list[dict[str, Any]]) -> float | None:
    """Training time divided by that of the published system, the first of the same comparison; None if not measured."""
    *_, published = (other for other in rows[: rows.index(row) + 1] if other["label"] == PUBLISHED)
    seconds, published_seconds = _seconds(row), _seconds(published)
    return None if seconds is None or published_seconds is None else seconds / published_seconds


def _seconds(row: dict[str, Any]) -> float | None:
    """Mean training time; None if a training of the row was not timed, because the machine was busy."""
    seconds = [result.get("seconds") for result in row["seeds"].values()]
    return None if None in seconds else statistics.mean(seconds)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _spread(results: list[dict[str, Any]], name: str) -> str:
    """The mean over seeds and, for several seeds, half their range; with six digits for means below 0.001."""
    values = [result[name] for result in results]
    mean = statistics.mean(values)
    digits = 6 if 0 < mean < 0.001 else 3
    return f"{mean:.{digits}f}" + (f" ± {(max(values) - min(values)) / 2:.{digits}f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
