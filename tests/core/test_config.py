from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc_data.hashfile.meta import Meta as DvcMeta
from ruamel.yaml import YAML

from pipeline.cli.params import check
from pipeline.core.config import load_params
from pipeline.core.errors import BoxlineError
from tests.support.tiny_project import PROJECT


def complaint(tmp_path: Path, old: str, new: str) -> str:
    """What the checks say of the project's params.yaml with one text replaced."""
    text = (PROJECT / "params.yaml").read_text()
    assert text.count(old) >= 1, f"{old!r} is not in params.yaml"
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BoxlineError) as raised:
        check(load_params(path))
    return str(raised.value).replace(f"{tmp_path}/", "")


def test_the_projects_own_file_is_valid() -> None:
    check(load_params(PROJECT / "params.yaml"))


def test_no_key_is_one_that_dvc_leaves_out_when_it_looks_for_a_former_run() -> None:
    """It would bring back the outputs of a run with another value: `dvc.stage.cache` takes these for sizes of files."""

    def keys(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            yield from value
        for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
            yield from keys(child)

    found = set(keys(YAML(typ="safe", pure=True).load(PROJECT / "params.yaml")))
    assert len(found) > 100
    assert found & {DvcMeta.PARAM_SIZE, DvcMeta.PARAM_NFILES} == set()


def test_scientific_notation_without_a_dot_is_a_number(tmp_path: Path) -> None:
    """YAML 1.1 reads 2e-4 as text; DVC reads YAML 1.2, and so must this."""
    path = tmp_path / "params.yaml"
    path.write_text((PROJECT / "params.yaml").read_text().replace("learning_rate: 0.001", "learning_rate: 2e-4"))
    phases = load_params(path).system("digits_localizer").train["phases"]
    assert phases["all"]["learning_rate"] == 0.0002


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            "{epochs: 20,",
            "{epochs: twenty,",
            "params.yaml: systems.digits_localizer.train.phases.all.epochs: received 'twenty', expected int.",
            id="wrong type",
        ),
        pytest.param(
            "{epochs: 20,",
            "{epochs: 0,",
            "params.yaml: systems.digits_localizer.train.phases.all.epochs: received 0, expected int >= 1.",
            id="out of range",
        ),
        pytest.param(
            "{epochs: 20,",
            "{epoch: 20,",
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
            "expected one of letterbox, crop, stretch.",
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
            "params.yaml: datasets.digits: unknown key 'sauce', expected one of module, source, sample, validate. "
            "Did you mean source?",
            id="unknown key in an entry",
        ),
        pytest.param(
            "    source: sample",
            "    source: 3",
            "params.yaml: datasets.digits.source: received 3, expected str.",
            id="wrong type in an entry",
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
            "params.yaml: there is no system module 'coco_yellow' in pipeline/systems.",
            id="unknown system module",
        ),
        pytest.param(
            "    module: coco\n",
            "    module: cocoa\n",
            "params.yaml: there is no dataset module 'cocoa' in pipeline/datasets.",
            id="unknown dataset module",
        ),
        pytest.param(
            "    task: detection",
            "    task: detecting",
            "params.yaml: task: received 'detecting', expected one of detection, localization.",
            id="unknown task",
        ),
        pytest.param(
            "filters: [32, 32, 64]",
            "filters: [32, wide, 64]",
            "params.yaml: systems.digits_localizer.model.filters.1: received 'wide', expected int.",
            id="wrong type in a list",
        ),
        pytest.param(
            "{epochs: 20,",
            "{epo-chs: 20,",
            "params.yaml: systems.digits_localizer.train.phases.all: unknown key 'epo-chs', expected one of epochs, "
            "learning_rate, patience, schedule, weight_decay, clip_norm. Did you mean epochs?",
            id="unknown key with a dash",
        ),
        pytest.param(
            "  image_tiny: {severity: warning,",
            "  image_tiny: {severity: warnings,",
            "params.yaml: checks.image_tiny.severity: received 'warnings', expected one of error, warning, off.",
            id="a severity that is none",
        ),
        pytest.param(
            "image_similar_across_splits: {severity: off} #",
            "image_similar_across_split: {severity: off} #",
            "params.yaml: datasets.digits.validate.checks: unknown key 'image_similar_across_split', expected one of "
            "image_id_below_one, image_id_duplicated, image_file_missing, image_not_decodable, "
            "image_size_not_positive, image_size_differs, image_exif_rotated, image_tiny, "
            "image_duplicated_within_split, image_duplicated_across_splits and 23 more. "
            "Did you mean image_similar_across_splits?",
            id="a check of a dataset that is none",
        ),
        pytest.param(
            "  digits_localizer:",
            "  Digits-1:",
            "params.yaml: systems: the name 'Digits-1' is not allowed; expected a lower-case letter, "
            "then lower-case letters, digits and underscores.",
            id="a name that is no name",
        ),
        pytest.param(
            "validation_batches: 10",
            "validation_batches: 0",
            "params.yaml: systems.digits_localizer.train: patience needs validation_batches of at least 1.",
            id="early stopping without held-out images",
        ),
        pytest.param(
            "{kind: drop, every_epochs: 5, factor: 0.1}",
            "{kind: step, every_epochs: 5, factor: 0.1}",
            "params.yaml: systems.snack_localizer.train.phases.boxes.schedule.kind: received 'step', "
            "expected one of drop, cosine, plateau.",
            id="a schedule of unknown kind",
        ),
        pytest.param(
            "{kind: drop, every_epochs: 5, factor: 0.1}",
            "{every_epochs: 5, factor: 0.1}",
            "params.yaml: systems.snack_localizer.train.phases.boxes.schedule: the key 'kind' is missing.",
            id="a schedule of no kind",
        ),
        pytest.param(
            "{kind: drop, every_epochs: 5, factor: 0.1}",
            "{kind: cosine, warmup_epoch: 1, final_lr_fraction: 0.1}",
            "params.yaml: systems.snack_localizer.train.phases.boxes.schedule: unknown key 'warmup_epoch', "
            "expected one of kind, warmup_epochs, final_lr_fraction. Did you mean warmup_epochs?",
            id="an unknown key in a schedule",
        ),
        pytest.param(
            "{kind: drop, every_epochs: 5, factor: 0.1}",
            "{kind: drop, every_epochs: 5, factor: 1.0}",
            "params.yaml: systems.snack_localizer.train.phases.boxes.schedule.factor: received 1.0, "
            "expected float < 1.0.",
            id="a drop that is none",
        ),
        pytest.param(
            "{kind: drop, every_epochs: 5, factor: 0.1}",
            "{kind: cosine, warmup_epochs: 15, final_lr_fraction: 0.1}",
            "params.yaml: systems.snack_localizer.train.phases.boxes: schedule.warmup_epochs is 15, "
            "expected less than epochs, 15.",
            id="a warm-up as long as its phase",
        ),
        pytest.param(
            "validation_batches: 3\n      precision: float32\n      xla: false\n      augment: null\n      phases:\n"
            "        head: {",
            "validation_batches: 0\n      precision: float32\n      xla: false\n      augment: null\n      phases:\n"
            "        head: {schedule: {kind: plateau, patience: 3, factor: 0.5}, ",
            "params.yaml: systems.rectangle_localizer.train: a schedule of kind plateau needs "
            "validation_batches of at least 1.",
            id="a plateau of no held-out images",
        ),
        pytest.param(
            "all: {epochs: 30,",
            "all: {epochs: 30, weight_decay: 0.0,",
            "params.yaml: systems.coco_yolo.train.phases.all.weight_decay: received 0.0, expected float > 0.0.",
            id="a weight decay that is none",
        ),
        pytest.param(
            "all: {epochs: 30,",
            "all: {epochs: 30, clip_norm: -1,",
            "params.yaml: systems.coco_yolo.train.phases.all.clip_norm: received -1, expected float > 0.0.",
            id="a norm below nothing",
        ),
        pytest.param(
            "output: sigmoid",
            "output: tanh",
            "params.yaml: systems.rectangle_localizer.model.output: received 'tanh', "
            "expected one of sigmoid, hard_sigmoid, linear.",
            id="an output without a loss",
        ),
        pytest.param(
            "overlap: later",
            "overlap: earlier",
            "params.yaml: systems.coco_yolo.targets.overlap: received 'earlier', expected one of later, smaller.",
            id="an unknown winner of overlaps",
        ),
        pytest.param(
            "boxes_per_cell: 1",
            "boxes_per_cell: 0",
            "params.yaml: systems.coco_yolo.targets.boxes_per_cell: received 0, expected int >= 1.",
            id="cells without boxes",
        ),
        pytest.param(
            "augment: null",
            "augment: {flip_probability: 0.5, max_translate_fraction: 0, scale: [1.2, 0.8], rotate_degrees: 0, color: null}",
            "params.yaml: systems.digits_localizer.train.augment: scale begins at 1.2 and ends at 0.8, "
            "expected the smaller factor first.",
            id="a range from large to small",
        ),
        pytest.param(
            "augment: null",
            "augment: {flips_share: 0.5, max_translate_fraction: 0, scale: [1, 1], rotate_degrees: 0, color: null}",
            "params.yaml: systems.digits_localizer.train.augment: unknown key 'flips_share', expected one of "
            "flip_probability, max_translate_fraction, scale, rotate_degrees, color. Did you mean flip_probability?",
            id="unknown key in a section that may be null",
        ),
        pytest.param(
            "augment: null",
            "augment: {flip_probability: 2, max_translate_fraction: 0, scale: [1, 1], rotate_degrees: 0, color: null}",
            "params.yaml: systems.digits_localizer.train.augment.flip_probability: received 2, expected float <= 1.0.",
            id="a number out of range in a section that may be null",
        ),
        pytest.param(
            "        classifier: {",
            "        boxers: {",
            "params.yaml: systems.snack_localizer.train.phases: received 'boxers', "
            "expected parts of the system: classifier, boxes.",
            id="a part that the system does not have",
        ),
        pytest.param(
            "precision: float32",
            "precision: float31",
            "params.yaml: systems.digits_localizer.train.precision: received 'float31', "
            "expected one of float32, mixed_bfloat16, mixed_float16.",
            id="a precision that is none",
        ),
        pytest.param(
            "preset: null # starts from random weights",
            "preset: {source: sample, scale: small}",
            "params.yaml: systems.digits_localizer.preset: received {'source': 'sample', 'scale': 'small'}, "
            "expected null: the system starts from random weights.",
            id="a preset for a system that has none",
        ),
        pytest.param(
            "preset: {source: sample, scale: small}",
            "preset: null",
            "params.yaml: systems.rectangle_localizer.preset: received None, expected a section with source and scale.",
            id="no preset for a system that needs one",
        ),
        pytest.param(
            "preset: {source: sample, scale: small}",
            "preset: {source: sample, scale: tiny}",
            "params.yaml: systems.rectangle_localizer.preset.scale: received 'tiny', expected one of small, published.",
            id="a preset of unknown scale",
        ),
        pytest.param(
            "scale: coarse",
            "scale: tiny",
            "params.yaml: systems.coco_retinanet_coarse.preset.scale: received 'tiny', "
            "expected one of small, coarse, published.",
            id="a preset of a scale that its system does not have either",
        ),
        pytest.param(
            "class_prior: 0.01",
            "class_prior: 1",
            "params.yaml: systems.coco_retinanet_coarse.model.class_prior: received 1, expected float < 1.0.",
            id="a prior that is certain",
        ),
        pytest.param(
            "filters: [16, 32],",
            "filters: [],",
            "params.yaml: systems.digits_distributional_localizer.model.filters: received [], expected array of length >= 1.",
            id="no convolution at all",
        ),
        pytest.param(
            """        - {filters: 64, blocks: 2}
        - {filters: 96, blocks: 1}
        - {filters: 128, blocks: 1}
""",
            "",
            "params.yaml: systems.coco_anchor_free_detector.model.stages: received "
            "[{'filters': 16, 'blocks': 0}, {'filters': 32, 'blocks': 1}], expected array of length >= 3.",
            id="too few stages for a level",
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
            "params.yaml: systems.digits_localizer.evaluate.split: received 'train', expected one of val, test.",
            id="scoring what was trained on",
        ),
        pytest.param(
            "    task: detection",
            "    task: localization",
            "params.yaml: systems.coco_yolo.task: received 'localization', expected detection.",
            id="a task that the system does not have",
        ),
        pytest.param(
            "    module: coco_yolo",
            "    module: encoding",
            "params.yaml: there is no system module 'encoding' in pipeline/systems.",
            id="a module that is no system",
        ),
        pytest.param(
            "  coco_yolo:",
            "  coco:",
            "params.yaml: coco names a dataset and a system; each needs a folder of its own.",
            id="one name twice",
        ),
    ],
)
def test_a_mistake_is_named_with_its_path(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert complaint(tmp_path, old, new) == expected


def test_text_that_is_no_yaml(tmp_path: Path) -> None:
    assert complaint(tmp_path, "seed: 2017", "seed: [2017").startswith("params.yaml is not valid YAML: ")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        load_params(tmp_path / "params.yaml")
    assert str(raised.value) == f"{tmp_path}/params.yaml not found. Run this from the project's root folder."


def test_an_unknown_entry_lists_the_known_ones() -> None:
    loaded = load_params(PROJECT / "params.yaml")
    with pytest.raises(BoxlineError) as raised:
        loaded.system("coco_yello")
    assert str(raised.value) == (
        "params.yaml: systems has no entry 'coco_yello'; known are digits_localizer, "
        "rectangle_localizer, snack_localizer, coco_yolo, coco_retinanet, digits_distributional_localizer, "
        "rectangle_distributional_localizer, snack_distributional_localizer, coco_anchor_free_detector, coco_retinanet_coarse."
    )
