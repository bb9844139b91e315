"""Presets from every kind of source. Hubs are out of reach here; their client's errors are raised in their place."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.core.config import load_params, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.pretrained.config import BACKBONE_FILES, PretrainedConfig
from pipeline.pretrained.fetch import fetch_pretrained
from pipeline.pretrained.load import load_pretrained
from pipeline.systems import interfaces as verbs
from tests.support.precision import computed_in
from tests.support.servers import serving_folder
from tests.support.tiny_project import PROJECT

pytestmark = pytest.mark.slow

WHERE = "systems.coco_yolo.preset"
WITH_PRESET = ["rectangle_localizer", "snack_localizer", "coco_yolo", "coco_retinanet"]
WITHOUT_PRESET = ["digits_localizer", "distributional_localizer", "anchor_free_detector"]


def sample(module: str, folder: Path) -> int:
    """A small preset of that system, the same in every call."""
    folder.mkdir(parents=True)
    keras.utils.set_random_seed(7)
    return fetch_pretrained(PretrainedConfig(source="sample", scale="small"), module, WHERE, folder)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preset") / "resnet"
    sample("coco_yolo", folder)
    return folder


@pytest.mark.parametrize("module", WITH_PRESET)
def test_a_sample_holds_its_files_and_loads_with_the_same_weights(module: str, tmp_path: Path) -> None:
    parameters = sample(module, tmp_path / "a")
    recipe = verbs.recipe(module)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(verbs.pretrained_files(module))
    loaded = load_pretrained(tmp_path / "a", module)
    assert loaded.count_params() == parameters > 1000
    verbs.architecture(module)  # a system's own classes must not get in the way of the preset's
    assert load_pretrained(tmp_path / "a", module).count_params() == parameters
    keras.utils.set_random_seed(7)
    for ours, theirs in zip(loaded.get_weights(), recipe.sample("small").get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("module", WITHOUT_PRESET)
def test_a_system_without_a_preset_says_so(module: str) -> None:
    assert verbs.pretrained_files(module) == ()
    assert verbs.pretrained(module, None, WHERE) is None


def test_a_system_may_have_scales_of_its_own() -> None:
    coarse = {"source": "sample", "scale": "coarse"}
    assert verbs.pretrained("coco_retinanet", coarse, WHERE) == PretrainedConfig(source="sample", scale="coarse")
    with pytest.raises(BoxlineError) as raised:
        verbs.pretrained("coco_yolo", coarse, WHERE)
    assert str(raised.value) == (
        "params.yaml: systems.coco_yolo.preset.scale: received 'coarse', expected one of small, published."
    )


def test_a_folder_is_copied(backbone: Path, tmp_path: Path) -> None:
    (backbone / "README.md").write_text("not part of a preset")
    pretrained = PretrainedConfig(source=str(backbone), scale="small")
    assert fetch_pretrained(pretrained, "coco_yolo", WHERE, tmp_path) == 48_368
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(BACKBONE_FILES)
    for name in BACKBONE_FILES:
        assert (tmp_path / name).read_bytes() == (backbone / name).read_bytes()


@pytest.fixture
def mirror(backbone: Path) -> Iterator[str]:
    with serving_folder(backbone) as address:
        yield address


def test_a_mirror_is_fetched(mirror: str, tmp_path: Path) -> None:
    assert fetch_pretrained(PretrainedConfig(source=mirror, scale="small"), "coco_yolo", WHERE, tmp_path) == 48_368


def message_of(source: str, folder: Path, module: str = "coco_yolo") -> str:
    with pytest.raises(BoxlineError) as raised:
        fetch_pretrained(PretrainedConfig(source=source, scale="small"), module, WHERE, folder)
    return str(raised.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    assert message_of("nowhere/resnet", tmp_path) == (
        "nowhere/resnet/config.json not found. A folder given as `source` in params.yaml is laid out like the "
        "upstream. A preset of this system consists of config.json, model.weights.h5."
    )


def test_a_name_that_no_hub_knows(tmp_path: Path) -> None:
    assert message_of("resnet_51", tmp_path) == (
        "params.yaml: systems.coco_yolo.preset.source: 'resnet_51' could not be fetched (Unknown preset identifier. A "
        "preset must be a one of). Check the name and the network, or give a folder or an http(s) or s3 address that "
        "holds config.json, model.weights.h5, or `sample` for random weights."
    )


def test_keys_in_a_handle_are_not_shown(tmp_path: Path) -> None:
    message = message_of("gs://me:password@bucket/preset?key=abc", tmp_path)
    assert message.startswith("params.yaml: systems.coco_yolo.preset.source: 'gs://bucket/preset' could not be fetched")
    assert "password" not in message
    assert "abc" not in message


def test_a_hub_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def upstream() -> None:
        try:
            raise OSError("Name or service not known")
        except OSError as error:
            raise RuntimeError("Max retries exceeded with url: /v1/models") from error

    monkeypatch.setattr(verbs.recipe("coco_yolo"), "upstream", upstream)
    assert message_of("upstream", tmp_path) == (
        "params.yaml: systems.coco_yolo.preset.source: 'upstream' could not be fetched (Name or service not known). "
        "Check the name and the network, or give a folder or an http(s) or s3 address that holds "
        "config.json, model.weights.h5, or `sample` for random weights."
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b"{}"),
        ("config.json", b'{"registered_name": "os>system", "class_name": "system", "module": "os", "config": {}}'),
        ("model.weights.h5", b"not HDF5"),
        ("model.weights.h5", b""),
    ],
)
def test_a_damaged_preset_is_named(backbone: Path, tmp_path: Path, name: str, content: bytes) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(backbone, damaged)
    (damaged / name).write_bytes(content)
    message = message_of(str(damaged), tmp_path / "fetched")
    assert message.startswith(f"{tmp_path}/fetched is not a preset that can be loaded (")
    assert message.endswith(
        "). Expected are config.json, model.weights.h5, as Keras and KerasHub write them: correct preset.source in "
        "params.yaml, or fetch it anew."
    )
    assert "Traceback" not in message
    assert len(message) < 500


def test_the_weights_of_another_network_are_refused(backbone: Path, tmp_path: Path) -> None:
    sample("rectangle_localizer", tmp_path / "vgg")
    mixed = tmp_path / "mixed"
    shutil.copytree(backbone, mixed)
    shutil.copy(tmp_path / "vgg" / "model.weights.h5", mixed)
    assert "is not a preset that can be loaded" in message_of(str(mixed), tmp_path / "fetched")


@pytest.mark.parametrize("module", WITH_PRESET)
def test_presets_follow_the_precision_of_the_training(module: str, tmp_path: Path) -> None:
    sample(module, tmp_path / "a")
    with computed_in("mixed_bfloat16"):
        loaded = load_pretrained(tmp_path / "a", module)
        convolutions = [layer for layer in loaded._flatten_layers() if isinstance(layer, keras.layers.Conv2D)]
        assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}
        assert {layer.variable_dtype for layer in convolutions} == {"float32"}


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(
    "system", [*WITH_PRESET, "digits_localizer", "digits_distributional_localizer", "coco_anchor_free_detector"]
)
def test_outputs_are_float32_under_every_precision(system: str, precision: str, tmp_path: Path) -> None:
    """What losses and overlaps are computed from, and what a saved model answers."""
    chosen = load_params(PROJECT / "params.yaml").system(system)
    targets_kind, model_kind = verbs.sections(chosen.module)
    targets = parse_config(chosen.targets, targets_kind, "targets")
    model = parse_config(chosen.model, model_kind, "model")
    with computed_in(precision):
        pretrained = None
        if chosen.pretrained is not None:
            sample(chosen.module, tmp_path / "a")
            pretrained = load_pretrained(tmp_path / "a", chosen.module)
        channels = 1 if pretrained is None else 3
        whole = verbs.architecture(chosen.module).build_model(model, targets, 96, channels, 4, pretrained)
        outputs = whole(np.zeros((1, 96, 96, channels), np.uint8))
        assert {keras.backend.standardize_dtype(values.dtype) for values in outputs.values()} == {"float32"}


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_boxes_are_matched_to_anchors_in_float32(precision: str, tmp_path: Path) -> None:
    sample("coco_retinanet", tmp_path / "a")
    with computed_in(precision):
        pretrained = load_pretrained(tmp_path / "a", "coco_retinanet")
        targets_kind, model_kind = verbs.sections("coco_retinanet")
        model = verbs.architecture("coco_retinanet").build_model(
            model_kind(class_prior=None), targets_kind(max_boxes=3, crowd="encode"), 96, 3, 4, pretrained
        )
        boxes = np.array([[[0.1234567, 0.2345678, 0.3456789, 0.4567891], [-1] * 4, [-1] * 4]], np.float32)
        images, classes = np.zeros((1, 96, 96, 3), np.float32), np.array([[2, -1, -1]], np.float32)
        encoded, labels = model.label_encoder(images=images, gt_boxes=boxes, gt_classes=classes)
        assert keras.backend.standardize_dtype(encoded.dtype) == "float32"
        anchors = np.concatenate(list(model.anchor_generator(images).values()))  # xyxy pixels
        [first, *_] = np.flatnonzero(np.asarray(labels)[0] == 2)
        left, right = anchors[first, [0, 2]]
        center_x = (0.1234567 + 0.3456789 / 2) * 96
        expected = (center_x - (left + right) / 2) / (right - left)
        assert float(np.asarray(encoded)[0, first, 0]) == pytest.approx(expected, abs=1e-5)
