"""The sections `checks` and `validate` of params.yaml."""

from typing import Any

import pytest

from pipeline.core.config import Params, load_params
from pipeline.core.errors import BoxlineError
from pipeline.validation.base import Check
from pipeline.validation.box_checks import BoxOutsideImage
from pipeline.validation.config import Checks, parse_checks
from tests.support.tiny_project import PROJECT

PROJECTS = load_params(PROJECT / "params.yaml")


def loaded(shared: dict[str, Any] | None = None, **own: Any) -> Params:
    """The project's parameters with changed checks, for all datasets and for COCO."""
    dataset = PROJECTS.dataset("coco").model_copy(
        update={"validation": {"max_quarantined_fraction": 0.25, **({"checks": own} if own else {})}}
    )
    return PROJECTS.model_copy(
        update={"checks": PROJECTS.checks | (shared or {}), "datasets": PROJECTS.datasets | {"coco": dataset}}
    )


def test_dataset_inherits_shared_checks() -> None:
    validate, checks = parse_checks(
        loaded({"box_outside_image": {"severity": "warning", "tolerance_pixels": 2.5}}), "coco"
    )
    assert validate.max_quarantined_fraction == 0.25
    assert checks.box_outside_image == BoxOutsideImage(severity="warning", tolerance_pixels=2.5)


def test_dataset_overrides_single_keys() -> None:
    changed = loaded(box_outside_image={"tolerance_pixels": 4}, image_tiny={"severity": "off"})
    _, checks = parse_checks(changed, "coco")
    assert checks.box_outside_image == BoxOutsideImage(severity="error", tolerance_pixels=4)
    assert (checks.image_tiny.severity, checks.image_tiny.min_side_pixels) == ("off", 32)
    assert parse_checks(changed, "snacks")[1].box_outside_image.tolerance_pixels == 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        pytest.param(
            lambda: loaded(box_outside_imag={"tolerance_pixels": 4}),
            "params.yaml: datasets.coco.validate.checks: unknown key 'box_outside_imag', expected one of "
            "image_id_below_one, image_id_duplicated, image_file_missing, image_not_decodable, "
            "image_size_not_positive, image_size_differs, image_exif_rotated, image_tiny, "
            "image_duplicated_within_split, image_duplicated_across_splits and 28 more. "
            "Did you mean box_outside_image?",
            id="unknown check of a dataset",
        ),
        pytest.param(
            lambda: loaded(box_outside_image={"tolerance_pixel": 4}),
            "params.yaml: datasets.coco.validate.checks.box_outside_image: unknown key 'tolerance_pixel', expected one "
            "of severity, tolerance_pixels. Did you mean tolerance_pixels?",
            id="unknown threshold of a dataset",
        ),
        pytest.param(
            lambda: loaded({"image_tiny": {"severity": "eror", "min_side_pixels": 3}}),
            "params.yaml: checks.image_tiny.severity: received 'eror', expected 'error', 'warning' or 'off'.",
            id="invalid severity",
        ),
        pytest.param(
            lambda: loaded({"image_tiny": {"severity": "error"}}),
            "params.yaml: checks.image_tiny: the key 'min_side_pixels' is missing.",
            id="missing threshold",
        ),
        pytest.param(
            lambda: loaded(class_dominant={"max_fraction": 50}),
            "params.yaml: datasets.coco.validate.checks.class_dominant.max_fraction: received 50, "
            "expected a number <= 1.",
            id="fraction above 1",
        ),
        pytest.param(
            lambda: loaded(image_tiny="off"),
            "params.yaml: datasets.coco.validate.checks.image_tiny: received 'off', expected a section with keys.",
            id="string instead of a section",
        ),
        pytest.param(
            lambda: loaded(box_image_unknown={"severity": "warning"}),
            "params.yaml: datasets.coco.validate.checks.box_image_unknown.severity: received 'warning', "
            "expected 'error'.",
            id="severity that must be error",
        ),
    ],
)
def test_invalid_parameter_is_reported_with_its_path(parameters: Any, message: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        parse_checks(parameters(), "coco")
    assert str(raised.value) == message


def test_missing_check_is_reported() -> None:
    shared = {name: keys for name, keys in PROJECTS.checks.items() if name != "box_duplicated"}
    with pytest.raises(BoxlineError) as raised:
        parse_checks(PROJECTS.model_copy(update={"checks": shared}), "coco")
    assert str(raised.value) == "params.yaml: checks: the key 'box_duplicated' is missing."


def test_every_check_has_a_short_meaning() -> None:
    for name, check in parse_checks(PROJECTS, "coco")[1]:
        assert isinstance(check, Check)
        meaning = check.meaning()
        assert 20 < len(meaning) < 200, name
        assert meaning.endswith("."), name
        assert "  " not in meaning, name


def test_names_are_in_the_order_of_params_yaml() -> None:
    assert list(PROJECTS.checks) == list(Checks.model_fields)


def test_every_check_is_documented() -> None:
    lines = (PROJECT / "docs" / "data.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    for name in PROJECTS.checks:
        assert len([row for row in rows if f"`{name}`" in row.split(" | ")[0]]) == 1, name
