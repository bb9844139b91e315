"""The outputs of the stage `validate` for datasets that pass and that fail."""

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.core.parquet import read_table, write_table
from pipeline.datasets.annotations import Reading, Tables
from pipeline.stages.validate import validate
from tests.support.scenes import NO_ARCHIVES, box, files_of
from tests.support.tiny_project import tiny_params, write_params
from tests.support.validation_scene import BOXES, IMAGES, tables_of

NEGATIVE = box(2, 7, 5, (1, 2, -3, 4), split="val")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(boxes: list[dict[str, Any]], max_quarantined_fraction: float, **reading: pa.Table) -> None:
    params = tiny_params()
    params["datasets"]["coco"]["validate"]["max_quarantined_fraction"] = max_quarantined_fraction
    write_params(Path(), params)
    tables = tables_of(IMAGES, boxes)
    Reading(tables, **reading).write(Path("tables"))
    write_table(Path("inspect/files.parquet"), files_of(tables.images), schema.FILES)
    write_table(Path("inspect/archives.parquet"), NO_ARCHIVES, schema.ARCHIVES)
    report = [Path(f"reports/validate.{kind}") for kind in ("json", "md", "html")]
    inspected = Path("inspect/files.parquet"), Path("inspect/archives.parquet")
    validate("coco", Path("tables"), *inspected, Path("out"), *report)


def written() -> list[str]:
    return sorted(path.as_posix() for folder in ("out", "reports") for path in Path(folder).rglob("*"))


REPORTS = ["reports/validate.html", "reports/validate.json", "reports/validate.md"]


def test_valid_rows_are_accepted_and_invalid_ones_quarantined(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run([*BOXES, NEGATIVE], max_quarantined_fraction=0.2)
    tables = ["boxes", "categories", "files", "images", "quarantine"]
    assert written() == [*(f"out/{name}.parquet" for name in tables), *REPORTS]
    assert Tables.read(Path("out")).boxes["box_id"].to_pylist() == [1, 4, 9, 6]
    assert read_table(Path("out/files.parquet"), schema.FILES)["image_id"].to_pylist() == [7, 3]
    quarantine = read_table(Path("out/quarantine.parquet"), schema.QUARANTINE)
    assert [json.loads(row["row"]) for row in quarantine.to_pylist()] == [NEGATIVE]
    assert json.loads(Path("reports/validate.json").read_text())["quarantined"] == 1
    assert Path("reports/validate.md").read_text().startswith("## coco: passes\n")
    assert caplog.messages[-1] == "accepted 2 images and 4 boxes of coco, 1 row quarantined, 1 warning"


def test_refused_entries_are_quarantined_and_what_was_passed_over_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    refused = [{"file": "a.txt", "element": "line", "number": 3, "reason": "received x, expected a number"}]
    passed_over = [{"kind": "files of no known kind", "count": 2, "examples": "'a.doc', 'b.doc'"}]
    with caplog.at_level(logging.INFO):
        run(
            BOXES,
            max_quarantined_fraction=0.2,
            refused=pa.Table.from_pylist(refused, schema.REFUSED),
            passed_over=pa.Table.from_pylist(passed_over, schema.PASSED_OVER),
        )
    quarantine = read_table(Path("out/quarantine.parquet"), schema.QUARANTINE)
    assert quarantine.select(["table", "file", "number", "reason"]).to_pylist() == [
        {"table": "refused", "file": "a.txt", "number": 3, "reason": "annotation_refused"}
    ]
    assert caplog.messages[-1] == (
        "accepted 2 images and 4 boxes of coco, 1 row quarantined, 1 warning; "
        "passed over files of no known kind: 2 ('a.doc', 'b.doc')"
    )


def test_failing_dataset_writes_reports_and_quarantine_only() -> None:
    with pytest.raises(BoxlineError) as raised:
        run([*BOXES, NEGATIVE], max_quarantined_fraction=0.1)
    assert str(raised.value) == (
        "coco fails validation: 1 of 7 rows (14.3 %) are in quarantine, the limit is 10 % (box_size_not_positive 1; "
        "first: boxes row 5, box 2 of 000000000007.jpg in val: width -3, height 4). For details see "
        "reports/validate.html and out/quarantine.parquet. Correct the data, or change `checks` or "
        "datasets.coco.validate in params.yaml."
    )
    assert written() == ["out/quarantine.parquet", *REPORTS]
    assert read_table(Path("out/quarantine.parquet"), schema.QUARANTINE)["reason"].to_pylist() == [
        "box_size_not_positive"
    ]
    assert len(json.loads(Path("reports/validate.json").read_text())["failures"]) == 1
    assert Path("reports/validate.md").read_text().startswith("## coco: fails\n")


def test_failure_removes_the_tables_of_the_previous_run() -> None:
    run(BOXES, max_quarantined_fraction=0.0)
    assert "out/boxes.parquet" in written()
    with pytest.raises(BoxlineError):
        run([*BOXES, NEGATIVE], max_quarantined_fraction=0.0)
    assert written() == ["out/quarantine.parquet", *REPORTS]
