import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from benchmarks import ablations, accuracy, readers
from benchmarks.docs_tables import replace_table
from benchmarks.scratch_project import Parameters, for_system, with_overrides
from pipeline.cli.params import check_params
from pipeline.core.config import load_params
from tests.support.tiny_project import PROJECT

PARAMS = YAML(typ="safe", pure=True).load(PROJECT / "params.yaml")
TRAININGS = [
    *(
        pytest.param(accuracy.parameters(comparison, entry), id=f"{comparison.data}, {entry.system}, {entry.label}")
        for comparison in accuracy.COMPARISONS
        for entry in comparison.entries
    ),
    *(
        pytest.param({**data, **for_system(system, {**common, **changes})}, id=f"{system}, {label}")
        for system, (data, common, variants) in ablations.GROUPS.items()
        for label, changes in variants.items()
    ),
]


@pytest.mark.parametrize("parameters", TRAININGS)
def test_parameters_of_every_training_are_valid(tmp_path: Path, parameters: Parameters) -> None:
    """Otherwise a misspelled key would fail after an hour of earlier trainings."""
    (tmp_path / "params.yaml").write_text(json.dumps(with_overrides(PARAMS, parameters)))  # JSON is valid YAML
    check_params(load_params(tmp_path / "params.yaml"))


def result(**scores: Any) -> dict[str, Any]:
    """The result of one training, as `ScratchProject.evaluate` returns it."""
    training = {"parameters": 1234, "epochs": 5, "seconds": 100.0}
    error_types = [{"error_type": "missed", "lost_AP50": 0.25}]
    baselines = {"baseline_AP": 0.001, "oracle_AP": 0.9}
    return {"AP": 0.1, "AP50": 0.2, "AP75": 0.05, **baselines, **training, "error_types": error_types, **scores}


ROWS = [
    {"data": "scenes", "system": "old", "label": "published", "seeds": {"1": result(), "2": result(AP=0.2)}},
    {
        "data": "scenes",
        "system": "new",
        "label": "variant",
        "seeds": {"1": result(AP=0.5, seconds=60.0), "2": result(AP=0.6, seconds=100.0)},
    },
    {"data": "photographs", "system": "old", "label": "published", "seeds": {"1": result(seconds=50.0)}},
    {"data": "photographs", "system": "new", "label": "variant", "seeds": {"1": result(seconds=55.0)}},
]


def test_table_contains_mean_half_range_and_relative_time() -> None:
    _, old, new, _, other = accuracy.table(ROWS)
    assert old == (
        *("scenes", "old, published", "AP 0.150 ± 0.050", "AP50 0.200 ± 0.000, AP75 0.050 ± 0.000"),
        *("0.001", "0.900", "1,234", "5", "100", "1.00"),
    )
    assert (new[2], new[-2:]) == ("AP 0.550 ± 0.050", ("80", "0.80"))
    assert (other[2], other[-2:]) == ("AP 0.100", ("55", "1.10"))
    assert (old[4], accuracy.table([{**ROWS[2], "seeds": {"1": result(baseline_AP=0.00012)}}])[1][4]) == (
        "0.001",
        "0.000120",
    )
    del (untimed := result())["seconds"]
    busy = [{**ROWS[0], "seeds": {"1": untimed}}, ROWS[1]]
    assert [row[-2:] for row in accuracy.table(busy)[1:]] == [("-", "-"), ("80", "-")]
    assert accuracy.errors_table(ROWS)[2] == ("scenes", "new, variant", "missed 0.250")


def test_results_of_a_selected_comparison_replace_its_rows_in_order() -> None:
    digits, rectangles, *_ = accuracy.COMPARISONS
    rows: list[dict[str, Any]] = []
    for comparison in (rectangles, digits):
        for entry in comparison.entries:
            accuracy.add_result(rows, comparison, entry, 1, result())
    rows = accuracy.rows_without(rows, [digits])
    assert {row["data"] for row in rows} == {rectangles.data}
    for seed in (2017, 1):
        for entry in digits.entries:
            accuracy.add_result(rows, digits, entry, seed, result(AP=seed))
    assert [(row["data"], row["label"]) for row in rows] == [
        *((digits.data, label) for label in ("published", "pixels / 255", "variant")),
        *((rectangles.data, label) for label in ("published", "variant")),
    ]
    assert {seed: scores["AP"] for seed, scores in rows[1]["seeds"].items()} == {"2017": 2017, "1": 1}


def test_replace_table_changes_only_the_named_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- scores -->\nold\n<!-- end of scores -->\nb\n<!-- end of scores -->")
    replace_table(page, "scores", [("x", "y"), ("1", r"\1")])
    begin, end = "<!-- scores -->", "<!-- end of scores -->"
    assert page.read_text() == f"a\n{begin}\n| x | y |\n|---|---|\n| 1 | \\1 |\n{end}\nb\n{end}"
    with pytest.raises(RuntimeError, match=r"page.md lacks <!-- errors --> and <!-- end of errors -->$"):
        replace_table(page, "errors", [("x",)])


@pytest.mark.parametrize("name", [*readers.DATASETS, readers.TFRECORD])
def test_generated_datasets_are_read_without_a_refused_row(tmp_path: Path, name: str) -> None:
    if name == readers.TFRECORD:
        readers.write_records(3, tmp_path)
    else:
        readers.write_packed(name, 3, tmp_path)
    readers.read_tables(name, tmp_path)


@pytest.mark.parametrize(("name", "functions"), readers.COMPARISONS.items())
def test_loops_that_readers_are_compared_with_run(tmp_path: Path, name: str, functions: dict[str, str]) -> None:
    readers.write_loose_files(name, 3, tmp_path)
    for function in (f"read_{name}", *functions.values()):
        getattr(readers, function)(tmp_path)
