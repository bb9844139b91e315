"""The checks of drift between two versions of a dataset."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.validation.base import CheckResult
from pipeline.validation.drift_checks import kolmogorov_smirnov_distance
from pipeline.validation.run_checks import run_drift_checks
from tests.support.scenes import box, image
from tests.support.validation_scene import IMAGES, checked, checks
from tests.validation.test_dataset_checks import CAT, DOG, boxes

# Six cats and four dogs, all of 30 x 40 pixels, in two images, both with boxes.
BEFORE: dict[str, Any] = {"boxes": boxes((4, 2), (2, 2))}


def drifted(name: str, now: dict[str, Any], before: dict[str, Any] | None = None, **changed: Any) -> CheckResult:
    found = run_drift_checks(checks(**changed), checked(**(before or BEFORE)).statistics, checked(**now).statistics)
    [one] = [one for one in found if one.name == name]
    return one


def larger(width: float, count: int) -> dict[str, Any]:
    """BEFORE with another width of the first boxes."""
    return {"boxes": [one | {"width": width} if at < count else one for at, one in enumerate(BEFORE["boxes"])]}


CASES = [
    # 0.6 and 0.4 become 0.5 and 0.5: a tenth of the boxes changed class
    ("drift_of_class_frequencies", {"boxes": boxes((3, 3), (2, 2))}, "max_distance", 0.1,
     "0.100: cat 60 % → 50 %, dog 40 % → 50 %"),
    # Three of ten are larger now, so the fraction at or below the old side falls from 1 to 0.7. The relative side of
    # those in train, of 100 x 80 pixels, is sqrt(30 * 40 / 8000).
    ("drift_of_box_sizes", larger(60, 3), "max_distance", 0.3, "0.300: median 38.7 % → 38.7 % of the image's side"),
    ("drift_of_image_count", {**BEFORE, "images": [*IMAGES, image(8)]}, "max_change", 0.5, "2 → 3"),
    ("drift_of_box_count", {"boxes": boxes((4, 2), (2, 1))}, "max_change", 0.1, "10 → 9"),
    ("drift_of_images_without_boxes", {**BEFORE, "images": [*IMAGES, image(8)]}, "max_change", 0.3334, "0 % → 33.3 %"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "now", "key", "limit", "measured"), CASES, ids=[case[0] for case in CASES])
def test_limit_is_the_hand_computed_distance(
    name: str, now: dict[str, Any], key: str, limit: float, measured: str
) -> None:
    just_enough = drifted(name, now, **{name: {key: limit + 1e-6}})
    assert (just_enough.status, just_enough.measured) == ("passed", measured)
    too_far = drifted(name, now, **{name: {key: limit - 1e-3}})
    assert (too_far.status, too_far.count, too_far.examples) == ("warned", 1, (measured,))
    assert drifted(name, now, **{name: {key: limit - 1e-3, "severity": "error"}}).status == "failed"
    assert drifted(name, now, **{name: {key: 0.0, "severity": "off"}}).status == "off"


def test_every_drift_check_is_tested_here() -> None:
    assert {case[0] for case in CASES} == set(checks().of_drift())


def test_same_data_has_no_drift() -> None:
    for name in checks().of_drift():
        assert drifted(name, BEFORE, **{name: {next(iter(checks_keys(name))): 0.0}}).status == "passed"


def checks_keys(name: str) -> dict[str, float]:
    return checks().of_drift()[name].thresholds()


def test_classes_are_matched_by_name() -> None:
    swapped = [one | {"category_id": {CAT: DOG, DOG: CAT}[one["category_id"]]} for one in BEFORE["boxes"]]
    now = {"boxes": swapped, "categories": ("dog", "cat")}
    assert drifted("drift_of_class_frequencies", now).measured.startswith("0.000")


def test_added_class_changes_frequencies() -> None:
    now = {"boxes": [*BEFORE["boxes"], *(box(50 + n, 7, 8, (n, 5, 30, 40)) for n in range(10))]}
    now["categories"] = ("cat", "dog", "owl")
    assert (
        drifted("drift_of_class_frequencies", now).measured == "0.500: owl 0 % → 50 %, cat 60 % → 30 %, dog 40 % → 20 %"
    )


def test_drift_checks_are_not_run_without_earlier_version() -> None:
    found = run_drift_checks(checks(drift_of_box_count={"severity": "off"}), "no tables at HEAD", checked().statistics)
    assert {one.name: (one.status, one.measured) for one in found} == {
        name: ("off" if name == "drift_of_box_count" else "not run", "no tables at HEAD")
        for name in checks().of_drift()
    }


def test_median_is_omitted_without_boxes() -> None:
    for now, before in (({"boxes": []}, BEFORE), (BEFORE, {"boxes": []})):
        assert drifted("drift_of_box_sizes", now, before).measured == "1.000"
    assert drifted("drift_of_box_sizes", {"boxes": []}, {"boxes": []}).measured == "0.000"


values = st.lists(st.floats(0, 1, width=16), min_size=1, max_size=20).map(np.array)


@given(values, values)
def test_kolmogorov_smirnov_distance_agrees_with_definition(one: np.ndarray, other: np.ndarray) -> None:
    places = [*one, *other]
    expected = max(abs(np.mean(one <= place) - np.mean(other <= place)) for place in places)
    assert kolmogorov_smirnov_distance(one, other) == pytest.approx(expected)
    assert kolmogorov_smirnov_distance(other, one) == pytest.approx(expected)


def test_distance_to_empty_sample_is_one() -> None:
    assert kolmogorov_smirnov_distance(np.zeros(0), np.ones(3)) == 1
    assert kolmogorov_smirnov_distance(np.zeros(0), np.zeros(0)) == 0
