import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from benchmarks import ablations, accuracy
from benchmarks.scratch import Parameters, changed, of_system
from benchmarks.tables_in_docs import replace_table
from pipeline.cli.params import check
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
        pytest.param({**data, **of_system(system, {**common, **changes})}, id=f"{system}, {label}")
        for system, (data, common, variants) in ablations.GROUPS.items()
        for label, changes in variants.items()
    ),
]


@pytest.mark.parametrize("parameters", TRAININGS)
def test_every_training_has_valid_parameters(tmp_path: Path, parameters: Parameters) -> None:
    """A misspelt key would be found after an hour of trainings before it."""
    (tmp_path / "params.yaml").write_text(json.dumps(changed(PARAMS, parameters)))  # which is YAML as well
    check(load_params(tmp_path / "params.yaml"))


def result(**scores: Any) -> dict[str, Any]:
    """Of one training, as `Scratch.evaluate` gives it."""
    took = {"parameters": 1234, "epochs": 5, "seconds": 100.0}
    kinds = [{"kind": "missed", "lost_AP50": 0.25}]
    baselines = {"baseline_AP": 0.001, "oracle_AP": 0.9}
    return {"AP": 0.1, "AP50": 0.2, "AP75": 0.05, **baselines, **took, "kinds": kinds, **scores}


ROWS = [
    {"data": "scenes", "system": "old", "label": "published", "seeds": {"1": result(), "2": result(AP=0.2)}},
    {
        "data": "scenes",
        "system": "new",
        "label": "improved",
        "seeds": {"1": result(AP=0.5, seconds=60.0), "2": result(AP=0.6, seconds=100.0)},
    },
    {"data": "photographs", "system": "old", "label": "published", "seeds": {"1": result(seconds=50.0)}},
    {"data": "photographs", "system": "new", "label": "improved", "seeds": {"1": result(seconds=55.0)}},
]


def test_the_table_has_means_half_ranges_and_shares_of_the_published_time() -> None:
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
    assert accuracy.errors_table(ROWS)[2] == ("scenes", "new, improved", "missed 0.250")


def test_a_table_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- scores -->\nold\n<!-- end of scores -->\nb\n<!-- end of scores -->")
    replace_table(page, "scores", [("x", "y"), ("1", r"\1")])
    begin, end = "<!-- scores -->", "<!-- end of scores -->"
    assert page.read_text() == f"a\n{begin}\n| x | y |\n|---|---|\n| 1 | \\1 |\n{end}\nb\n{end}"
    with pytest.raises(RuntimeError, match=r"page.md lacks <!-- errors --> and <!-- end of errors -->$"):
        replace_table(page, "errors", [("x",)])
