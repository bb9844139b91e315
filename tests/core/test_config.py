from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
from dvc_data.hashfile.meta import Meta as DvcMeta
from pydantic import Field, ValidationError
from ruamel.yaml import YAML

from pipeline.cli.params import check_params
from pipeline.core.config import Config, Name, TupleFromList, load_params, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.datasets.formats.registry import FORMATS, get_format
from pipeline.training.config import TrainConfig
from tests.support.tiny_project import PROJECT

DIGITS = """    module: digits
    source: sample
    sample: {seed: 2017, train_images: 2000, test_images: 300}
"""


def error_message(tmp_path: Path, old: str, new: str) -> str:
    """The error for the project's params.yaml with one text replaced."""
    text = (PROJECT / "params.yaml").read_text()
    assert text.count(old) >= 1, f"{old!r} is not in params.yaml"
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BoxlineError) as raised:
        check_params(load_params(path))
    return str(raised.value).replace(f"{tmp_path}/", "")


def test_params_yaml_of_project_is_valid() -> None:
    check_params(load_params(PROJECT / "params.yaml"))


def test_no_key_is_ignored_by_the_run_cache_of_dvc() -> None:
    """`dvc.stage.cache` ignores keys that it takes for file sizes, and would restore outputs of another value."""

    def keys(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            yield from value
        for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
            yield from keys(child)

    found = set(keys(YAML(typ="safe", pure=True).load(PROJECT / "params.yaml")))
    assert len(found) > 100
    assert found & {DvcMeta.PARAM_SIZE, DvcMeta.PARAM_NFILES} == set()


def test_scientific_notation_without_dot_is_a_number(tmp_path: Path) -> None:
    """YAML 1.1 reads 2e-4 as text; DVC reads YAML 1.2, and so must this."""
    path = tmp_path / "params.yaml"
    path.write_text((PROJECT / "params.yaml").read_text().replace("learning_rate: 0.001", "learning_rate: 2e-4"))
    phases = load_params(path).system("digits_localizer").train["phases"]
    assert phases["all"]["learning_rate"] == 0.0002


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            "all: {epochs: 4,",
            "all: {epochs: four,",
            "params.yaml: systems.digits_localizer.train.phases.all.epochs: received 'four', expected an integer.",
            id="wrong type",
        ),
        pytest.param(
            "all: {epochs: 4,",
            "all: {epochs: 0,",
            "params.yaml: systems.digits_localizer.train.phases.all.epochs: received 0, expected an integer >= 1.",
            id="out of range",
        ),
        pytest.param(
            "all: {epochs: 4,",
            "all: {epoch: 4,",
            "params.yaml: systems.digits_localizer.train.phases.all: unknown key 'epoch', expected one of epochs, "
            "learning_rate, patience, schedule, weight_decay, clip_norm. Did you mean epochs?",
            id="unknown key in a section",
        ),
        pytest.param(
            "grid_size: 6, max_boxes: 4",
            "grid_size: 6",
            "params.yaml: systems.coco_yolo.targets: the key 'max_boxes' is missing.",
            id="missing key",
        ),
        pytest.param(
            "resize: letterbox",
            "resize: squeeze",
            "params.yaml: systems.digits_localizer.pack.resize: received 'squeeze', "
            "expected 'letterbox', 'crop' or 'stretch'.",
            id="unknown choice",
        ),
        pytest.param(
            "seed: 2017",
            "seeds: 2017",
            "params.yaml: the file: unknown key 'seeds', expected one of seed, checks, datasets, systems. "
            "Did you mean seed?",
            id="unknown key at the top",
        ),
        pytest.param(
            "    source: sample",
            "    sauce: sample",
            "params.yaml: datasets.digits: unknown key 'sauce', expected one of module, format, source, sample, "
            "options, classes, split, limit, validate. Did you mean source?",
            id="unknown key in an entry",
        ),
        pytest.param(
            "    source: sample",
            "    source: 3",
            "params.yaml: datasets.digits.source: received 3, expected text.",
            id="wrong type in an entry",
        ),
        pytest.param(
            "    module: digits\n",
            "",
            "params.yaml: datasets.digits: expected either module, for a published dataset, or format, for files of "
            "your own.",
            id="neither module nor format",
        ),
        pytest.param(
            "    module: digits\n",
            "    module: digits\n    format: voc\n",
            "params.yaml: datasets.digits: expected either module, for a published dataset, or format, for files of "
            "your own.",
            id="module and format",
        ),
        pytest.param(
            "    module: digits\n",
            "    module: digits\n    classes: [one]\n",
            "params.yaml: datasets.digits: the keys options and classes belong to a format, and a published dataset "
            "has none. Delete them.",
            id="classes of a published dataset",
        ),
        pytest.param(
            "    module: digits\n",
            "    format: voc\n",
            "params.yaml: datasets.digits: the key sample belongs to a published dataset, and one with a format has no "
            "sample. Delete it.",
            id="sample of a format",
        ),
        pytest.param(
            DIGITS,
            "    format: vok\n    source: photographs\n",
            f"params.yaml: datasets.digits.format: received 'vok', expected one of {', '.join(FORMATS)}.",
            id="unknown format",
        ),
        pytest.param(
            DIGITS,
            "    format: voc\n    source: photographs\n    options: {first_pixels: 1}\n",
            "params.yaml: datasets.digits.options: unknown key 'first_pixels', expected one of "
            f"{', '.join(get_format('voc').options_class.model_fields)}. Did you mean first_pixel?",
            id="unknown option of a format",
        ),
        pytest.param(
            "    module: digits\n",
            "    module: digits\n    split: {kind: shares}\n",
            "params.yaml: datasets.digits.split.kind: received 'shares', expected one of 'published', "
            "'random', 'folds'.",
            id="unknown kind of split",
        ),
        pytest.param(
            "    module: digits\n    source: sample\n",
            "    module: digits\n    source: sample\n    limit: 0\n",
            "params.yaml: datasets.digits.limit: received 0, expected an integer >= 1.",
            id="limit of no images",
        ),
        pytest.param(
            "    dataset: digits",
            "    dataset: numbers",
            "params.yaml: systems.digits_localizer.dataset: received 'numbers', "
            "expected a key of datasets (digits, coco, rectangles, snacks).",
            id="unknown dataset",
        ),
        pytest.param(
            "    module: coco_yolo",
            "    module: coco_yellow",
            "params.yaml: systems.coco_yolo.module: received 'coco_yellow', expected one of anchor_free_detector, "
            "coco_retinanet, coco_yolo, digits_localizer, distributional_localizer, rectangle_localizer, "
            "snack_localizer.",
            id="unknown system module",
        ),
        pytest.param(
            "    module: coco\n",
            "    module: cocoa\n",
            "params.yaml: datasets.coco.module: received 'cocoa', expected one of coco, digits, rectangles, snacks.",
            id="unknown dataset module",
        ),
        pytest.param(
            "filters: [32, 32, 64]",
            "filters: [32, wide, 64]",
            "params.yaml: systems.digits_localizer.model.filters.1: received 'wide', expected an integer.",
            id="wrong type in a list",
        ),
        pytest.param(
            "all: {epochs: 4,",
            "all: {epo-chs: 4,",
            "params.yaml: systems.digits_localizer.train.phases.all: unknown key 'epo-chs', expected one of epochs, "
            "learning_rate, patience, schedule, weight_decay, clip_norm. Did you mean epochs?",
            id="unknown key with a dash",
        ),
        pytest.param(
            "  image_tiny: {severity: warning,",
            "  image_tiny: {severity: warnings,",
            "params.yaml: checks.image_tiny.severity: received 'warnings', expected 'error', 'warning' or 'off'.",
            id="unknown severity",
        ),
        pytest.param(
            "image_similar_across_splits: {severity: off} #",
            "image_similar_across_split: {severity: off} #",
            "params.yaml: datasets.digits.validate.checks: unknown key 'image_similar_across_split', expected one of "
            "image_id_below_one, image_id_duplicated, image_file_missing, image_not_decodable, "
            "image_size_not_positive, image_size_differs, image_exif_rotated, image_tiny, "
            "image_duplicated_within_split, image_duplicated_across_splits and 28 more. "
            "Did you mean image_similar_across_splits?",
            id="unknown check of a dataset",
        ),
        pytest.param(
            "  digits_localizer:",
            "  Digits-1:",
            "params.yaml: systems: the name 'Digits-1' is not allowed; expected a lower-case letter, "
            "then lower-case letters, digits and underscores.",
            id="invalid name",
        ),
        pytest.param(
            "validation_batches: 10",
            "validation_batches: 0",
            "params.yaml: systems.digits_localizer.train: patience needs validation_batches of at least 1.",
            id="patience without validation",
        ),
        pytest.param(
            "{kind: step, every_epochs: 5, factor: 0.1}",
            "{kind: drops, every_epochs: 5, factor: 0.1}",
            "params.yaml: systems.snack_localizer.train.phases.boxes.schedule.kind: received 'drops', "
            "expected one of 'step', 'cosine', 'plateau'.",
            id="unknown kind of schedule",
        ),
        pytest.param(
            "{kind: step, every_epochs: 5, factor: 0.1}",
            "{every_epochs: 5, factor: 0.1}",
            "params.yaml: systems.snack_localizer.train.phases.boxes.schedule: the key 'kind' is missing.",
            id="schedule without kind",
        ),
        pytest.param(
            "{kind: step, every_epochs: 5, factor: 0.1}",
            "{kind: cosine, warmup_epoch: 1, final_lr_fraction: 0.1}",
            "params.yaml: systems.snack_localizer.train.phases.boxes.schedule: unknown key 'warmup_epoch', "
            "expected one of kind, warmup_epochs, final_lr_fraction. Did you mean warmup_epochs?",
            id="unknown key in a schedule",
        ),
        pytest.param(
            "{kind: step, every_epochs: 5, factor: 0.1}",
            "{kind: step, every_epochs: 5, factor: 1.0}",
            "params.yaml: systems.snack_localizer.train.phases.boxes.schedule.factor: received 1.0, "
            "expected a number < 1.",
            id="factor of 1",
        ),
        pytest.param(
            "{kind: step, every_epochs: 5, factor: 0.1}",
            "{kind: cosine, warmup_epochs: 15, final_lr_fraction: 0.1}",
            "params.yaml: systems.snack_localizer.train.phases.boxes: schedule.warmup_epochs is 15, "
            "expected less than epochs, 8.",
            id="warm-up as long as its phase",
        ),
        pytest.param(
            "validation_batches: 3\n      phases:\n        head: {",
            "validation_batches: 0\n      phases:\n        head: {schedule: {kind: plateau, patience: 3, factor: "
            "0.5}, ",
            "params.yaml: systems.rectangle_localizer.train: a schedule of kind plateau needs "
            "validation_batches of at least 1.",
            id="plateau without validation",
        ),
        pytest.param(
            "all: {epochs: 6,",
            "all: {epochs: 6, weight_decay: 0.0,",
            "params.yaml: systems.coco_yolo.train.phases.all.weight_decay: received 0.0, expected a number > 0.",
            id="weight decay of 0",
        ),
        pytest.param(
            "all: {epochs: 6,",
            "all: {epochs: 6, clip_norm: -1,",
            "params.yaml: systems.coco_yolo.train.phases.all.clip_norm: received -1, expected a number > 0.",
            id="negative norm",
        ),
        pytest.param(
            "output: sigmoid",
            "output: tanh",
            "params.yaml: systems.rectangle_localizer.model.output: received 'tanh', "
            "expected 'sigmoid', 'hard_sigmoid', 'linear' or 'leaky_relu'.",
            id="unknown output",
        ),
        pytest.param(
            "tie_break: last",
            "tie_break: first",
            "params.yaml: systems.coco_yolo.targets.tie_break: received 'first', expected 'last' or 'smallest'.",
            id="unknown tie break",
        ),
        pytest.param(
            "boxes_per_cell: 1",
            "boxes_per_cell: 0",
            "params.yaml: systems.coco_yolo.targets.boxes_per_cell: received 0, expected an integer >= 1.",
            id="no boxes per cell",
        ),
        pytest.param(
            "      batch_size: 32",
            "      batch_size: 32\n      augment: {flip_probability: 0.5, max_translate_fraction: 0, scale: [1.2, "
            "0.8], rotate_degrees: 0, color: null}",
            "params.yaml: systems.digits_localizer.train.augment: scale begins at 1.2 and ends at 0.8, "
            "expected the smaller factor first.",
            id="descending range",
        ),
        pytest.param(
            "      batch_size: 32",
            "      batch_size: 32\n      augment: {flip_probabilty: 0.5, max_translate_fraction: 0, scale: [1, 1], "
            "rotate_degrees: 0, color: null}",
            "params.yaml: systems.digits_localizer.train.augment: unknown key 'flip_probabilty', expected one of "
            "flip_probability, max_translate_fraction, scale, rotate_degrees, color. Did you mean flip_probability?",
            id="unknown key in an optional section",
        ),
        pytest.param(
            "      batch_size: 32",
            "      batch_size: 32\n      augment: {flip_probability: 2, max_translate_fraction: 0, scale: [1, 1], "
            "rotate_degrees: 0, color: null}",
            "params.yaml: systems.digits_localizer.train.augment.flip_probability: received 2, expected a number <= 1.",
            id="out of range in an optional section",
        ),
        pytest.param(
            "        classifier: {",
            "        boxers: {",
            "params.yaml: systems.snack_localizer.train.phases: received 'boxers', "
            "expected phases of the system: classifier, boxes.",
            id="unknown phase",
        ),
        pytest.param(
            "batch_size: 32",
            "batch_size: 32\n      precision: float31",
            "params.yaml: systems.digits_localizer.train.precision: received 'float31', "
            "expected 'float32', 'mixed_bfloat16' or 'mixed_float16'.",
            id="unknown precision",
        ),
        pytest.param(
            "pretrained: null # starts from random weights",
            "pretrained: {source: random, scale: small}",
            "params.yaml: systems.digits_localizer.pretrained: received {'source': 'random', 'scale': 'small'}, "
            "expected null: the system starts from random weights.",
            id="superfluous pretrained weights",
        ),
        pytest.param(
            "pretrained: {source: random, scale: small}",
            "pretrained: null",
            "params.yaml: systems.rectangle_localizer.pretrained: received None, expected a section with source and "
            "scale.",
            id="missing pretrained weights",
        ),
        pytest.param(
            "pretrained: {source: random, scale: small}",
            "pretrained: {source: random, scale: tiny}",
            "params.yaml: systems.rectangle_localizer.pretrained.scale: received 'tiny', expected one of small, "
            "published.",
            id="unknown scale",
        ),
        pytest.param(
            "scale: coarse",
            "scale: tiny",
            "params.yaml: systems.coco_retinanet_coarse.pretrained.scale: received 'tiny', "
            "expected one of small, coarse, published.",
            id="unknown scale of a system with several",
        ),
        pytest.param(
            "class_prior: 0.01",
            "class_prior: 1",
            "params.yaml: systems.coco_retinanet_coarse.model.class_prior: received 1, expected a number < 1.",
            id="prior of 1",
        ),
        pytest.param(
            "filters: [16, 32],",
            "filters: [],",
            "params.yaml: systems.digits_distributional_localizer.model.filters: received [], expected a list of 1 "
            "or more.",
            id="empty list",
        ),
        pytest.param(
            """        - {filters: 64, blocks: 2}
        - {filters: 96, blocks: 1}
        - {filters: 128, blocks: 1}
""",
            "",
            "params.yaml: systems.coco_anchor_free_detector.model.stages: received "
            "[{'filters': 16, 'blocks': 0}, {'filters': 32, 'blocks': 1}], expected a list of 3 or more.",
            id="list too short",
        ),
        pytest.param(
            "{filters: 16, blocks: 0}",
            "{filters: 16, block: 0}",
            "params.yaml: systems.coco_anchor_free_detector.model.stages.0: unknown key 'block', "
            "expected one of filters, blocks. Did you mean blocks?",
            id="unknown key in a list of sections",
        ),
        pytest.param(
            "split: test",
            "split: train",
            "params.yaml: systems.digits_localizer.evaluate.split: received 'train', expected 'val' or 'test'.",
            id="evaluation of the training split",
        ),
        pytest.param(
            "    module: coco_yolo",
            "    module: registry",
            "params.yaml: systems.coco_yolo.module: received 'registry', expected one of anchor_free_detector, "
            "coco_retinanet, coco_yolo, digits_localizer, distributional_localizer, rectangle_localizer, "
            "snack_localizer.",
            id="module that is not a system",
        ),
        pytest.param(
            "  coco_yolo:",
            "  coco:",
            "params.yaml: coco names a dataset and a system; each needs a folder of its own.",
            id="name of a dataset and a system",
        ),
    ],
)
def test_error_names_the_key(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert error_message(tmp_path, old, new) == expected


def test_invalid_yaml_is_reported(tmp_path: Path) -> None:
    assert error_message(tmp_path, "seed: 2017", "seed: [2017").startswith("params.yaml is not valid YAML: ")


def test_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        load_params(tmp_path / "params.yaml")
    assert str(raised.value) == f"{tmp_path}/params.yaml not found. Run this from the project's root folder."


def test_unknown_entry_lists_the_known_ones() -> None:
    loaded = load_params(PROJECT / "params.yaml")
    with pytest.raises(BoxlineError) as raised:
        loaded.system("coco_yello")
    assert str(raised.value) == (
        "params.yaml: systems has no entry 'coco_yello'; known are digits_localizer, "
        "rectangle_localizer, snack_localizer, coco_yolo, coco_retinanet, digits_distributional_localizer, "
        "rectangle_distributional_localizer, snack_distributional_localizer, coco_anchor_free_detector, "
        "coco_retinanet_coarse."
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "    pretrained: null",
            "    preset: null",
            "systems.digits_localizer.preset: this key is now called pretrained.",
        ),
        (
            "    dataset: digits",
            "    task: localization\n    dataset: digits",
            "systems.digits_localizer.task: this key no longer exists, since each system declares its own task. "
            "Delete it.",
        ),
        (
            "flip_probability:",
            "flip_share:",
            "systems.snack_distributional_localizer.train.augment.flip_share: this key is now called flip_probability.",
        ),
        (
            "max_translate_fraction:",
            "translate_share:",
            "systems.snack_distributional_localizer.train.augment.translate_share: this key is now called "
            "max_translate_fraction.",
        ),
        (
            "final_lr_fraction:",
            "final_share:",
            "systems.digits_distributional_localizer.train.phases.all.schedule.final_share: this key is now called "
            "final_lr_fraction.",
        ),
        (
            "kind: step",
            "kind: drop",
            "systems.snack_localizer.train.phases.boxes.schedule.kind: received 'drop', which is now called step.",
        ),
        (
            "crop_classifier:",
            "look:",
            "systems.digits_distributional_localizer.model.look: this key is now called crop_classifier.",
        ),
        (
            "crop_size:",
            "pixels:",
            "systems.digits_distributional_localizer.model.crop_classifier.pixels: this key is now called crop_size.",
        ),
        ("topk:", "candidates:", "systems.coco_anchor_free_detector.model.candidates: this key is now called topk."),
        (
            "generate_images:",
            "endless:",
            "systems.rectangle_localizer.model.endless: this key is now called generate_images.",
        ),
        ("examples:", "rows:", "systems.snack_localizer.targets.rows: this key is now called examples."),
        (
            "examples: per_box",
            "examples: every",
            "systems.snack_localizer.targets.examples: received 'every', which is now called per_box.",
        ),
        ("tie_break:", "overlap:", "systems.coco_yolo.targets.overlap: this key is now called tie_break."),
        (
            "tie_break: last",
            "tie_break: later",
            "systems.coco_yolo.targets.tie_break: received 'later', which is now called last.",
        ),
        (
            "plotted_images:",
            "pictures:",
            "systems.digits_localizer.evaluate.pictures: this key is now called plotted_images.",
        ),
        (
            "source: random",
            "source: sample",
            "systems.rectangle_localizer.pretrained.source: received 'sample', which is now called random.",
        ),
        (
            "module: distributional_localizer",
            "module: edge_localizer",
            "systems.digits_distributional_localizer.module: received 'edge_localizer', which is now called "
            "distributional_localizer.",
        ),
        (
            "module: anchor_free_detector",
            "module: center_detector",
            "systems.coco_anchor_free_detector.module: received 'center_detector', which is now called "
            "anchor_free_detector.",
        ),
        (
            "image_exif_rotated:",
            "image_turned_by_viewers:",
            "checks.image_turned_by_viewers: this key is now called image_exif_rotated.",
        ),
        (
            "drift_of_class_frequencies:",
            "drift_of_class_shares:",
            "checks.drift_of_class_shares: this key is now called drift_of_class_frequencies.",
        ),
        (
            "tolerance_fraction:",
            "tolerance_share:",
            "checks.box_area_exceeds_box.tolerance_share: this key is now called tolerance_fraction.",
        ),
        ("max_fraction:", "max_share:", "checks.class_dominant.max_share: this key is now called max_fraction."),
        (
            "below_image_fraction:",
            "below_image_share:",
            "checks.too_many_small_boxes.below_image_share: this key is now called below_image_fraction.",
        ),
        (
            "max_quarantined_fraction:",
            "max_quarantined_share:",
            "datasets.digits.validate.max_quarantined_share: this key is now called max_quarantined_fraction.",
        ),
        (
            "        image_similar_across_splits: {severity: off}",
            "        image_turned_by_viewers: {severity: off}",
            "datasets.digits.validate.checks.image_turned_by_viewers: this key is now called image_exif_rotated.",
        ),
    ],
)
def test_key_of_earlier_version_is_reported_with_its_new_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert error_message(tmp_path, old, new) == f"params.yaml: {message}"


@pytest.mark.parametrize("published", ["digits_localizer", "coco_yolow", "coco_anchor_free_detector"])
def test_variant_names_another_system_on_its_dataset(tmp_path: Path, published: str) -> None:
    assert error_message(tmp_path, "variant_of: coco_yolo", f"variant_of: {published}") == (
        f"params.yaml: systems.coco_anchor_free_detector.variant_of: received {published!r}, expected another system "
        "on the dataset coco (coco_yolo, coco_retinanet, coco_retinanet_coarse)."
    )


class Inner(Config):
    factor: Annotated[float, Field(gt=0)] = 1.0
    pair: Annotated[tuple[float, float], TupleFromList] = (0.0, 1.0)


class Outer(Config):
    count: int = 0
    is_on: bool = False
    text: str = ""
    inner: Inner | None = None
    members: dict[Name, Inner] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"count": True}, "part.count: received True, expected an integer."),
        ({"count": "3"}, "part.count: received '3', expected an integer."),
        ({"count": 3.5}, "part.count: received 3.5, expected an integer."),
        ({"is_on": 1}, "part.is_on: received 1, expected true or false."),
        ({"text": 1}, "part.text: received 1, expected text."),
        ({"inner": {"factor": "1"}}, "part.inner.factor: received '1', expected a number."),
        ({"inner": {"factor": float("nan")}}, "part.inner.factor: received nan, expected a finite number."),
        ({"inner": {"pair": [1]}}, "part.inner.pair: received [1], expected a longer list."),
        ({"inner": {"pair": [1, 2, 3]}}, "part.inner.pair: received [1, 2, 3], expected a list of 2 at most."),
        ({"inner": {"pair": "1, 2"}}, "part.inner.pair: received '1, 2', expected a list."),
        ({"inner": [1]}, "part.inner: received [1], expected a section with keys."),
        ({"members": {"a": {"factor": 0}}}, "part.members.a.factor: received 0, expected a number > 0."),
        (
            {"members": {"A": {}}},
            "part.members: the name 'A' is not allowed; expected a lower-case letter, then lower-case letters, digits "
            "and underscores.",
        ),
        (
            {"members": {3: {}}},
            "part.members: the name 3 is not allowed; expected a lower-case letter, then lower-case letters, digits "
            "and underscores.",
        ),
        (None, "part: received None, expected a section with keys."),
    ],
)
def test_values_are_not_converted(raw: object, message: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        parse_config(raw, Outer, "part")
    assert str(raised.value) == f"params.yaml: {message}"


def test_integer_is_accepted_as_float_and_list_as_tuple() -> None:
    assert parse_config({"factor": 2, "pair": [1, 2.5]}, Inner, "part") == Inner(factor=2.0, pair=(1.0, 2.5))


def test_sections_are_immutable() -> None:
    with pytest.raises(ValidationError):
        Inner().factor = 2.0


def test_options_of_training_have_defaults() -> None:
    config = parse_config({"batch_size": 1, "validation_batches": 0, "phases": {}}, TrainConfig, "train")
    assert (config.precision, config.xla, config.augment) == ("float32", False, None)
