"""Pretrained weights from every kind of source. No hub is reachable here: errors of their clients are simulated."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.core.config import load_params, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.pretrained.config import BACKBONE_FILES, PretrainedConfig, parse_pretrained
from pipeline.pretrained.fetch import fetch_pretrained
from pipeline.pretrained.interfaces import PretrainedSource
from pipeline.pretrained.load import load_pretrained
from pipeline.pretrained.resnet import ResNetWeights
from pipeline.systems.common.interfaces import ModelShape
from pipeline.systems.common.registry import get_system
from tests.support.precision import dtype_policy
from tests.support.servers import serving_folder
from tests.support.tiny_project import PROJECT

pytestmark = pytest.mark.slow

WHERE = "systems.coco_yolo.pretrained"
WITH_WEIGHTS = ["rectangle_localizer", "snack_localizer", "coco_yolo", "coco_retinanet"]
WITHOUT_WEIGHTS = ["digits_localizer", "distributional_localizer", "anchor_free_detector"]


def source_of(module: str) -> PretrainedSource:
    source = get_system(module).pretrained_source()
    assert source is not None
    return source


def fetch(source: str, folder: Path, module: str = "coco_yolo") -> int:
    config = PretrainedConfig(source=source, scale="small")
    return fetch_pretrained(config, source_of(module), WHERE, folder)


def random_weights(module: str, folder: Path) -> int:
    """Small random weights of that system, the same in every call."""
    folder.mkdir(parents=True)
    keras.utils.set_random_seed(7)
    return fetch("random", folder, module)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained") / "resnet"
    random_weights("coco_yolo", folder)
    return folder


@pytest.mark.parametrize("module", WITH_WEIGHTS)
def test_random_weights_are_stored_and_loaded(module: str, tmp_path: Path) -> None:
    parameters, source = random_weights(module, tmp_path / "a"), source_of(module)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(source.files)
    loaded = load_pretrained(tmp_path / "a")
    assert loaded.count_params() == parameters > 1000
    get_system(module).model_factory()  # the system's own Keras classes must not replace those of the weights
    assert load_pretrained(tmp_path / "a").count_params() == parameters
    keras.utils.set_random_seed(7)
    for ours, theirs in zip(loaded.get_weights(), source.random_init("small").get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("module", WITHOUT_WEIGHTS)
def test_system_without_pretrained_weights(module: str) -> None:
    system = get_system(module)
    assert system.pretrained_source() is None
    assert parse_pretrained(None, system.pretrained_scales, WHERE) is None


def test_scale_must_be_one_of_the_system() -> None:
    coarse = {"source": "random", "scale": "coarse"}
    expected = PretrainedConfig(source="random", scale="coarse")
    assert parse_pretrained(coarse, get_system("coco_retinanet").pretrained_scales, WHERE) == expected
    with pytest.raises(BoxlineError) as raised:
        parse_pretrained(coarse, get_system("coco_yolo").pretrained_scales, WHERE)
    assert str(raised.value) == (
        "params.yaml: systems.coco_yolo.pretrained.scale: received 'coarse', expected one of small, published."
    )


def test_local_folder_is_copied(backbone: Path, tmp_path: Path) -> None:
    (backbone / "README.md").write_text("not part of the weights")
    assert fetch(str(backbone), tmp_path) == 48_368
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(BACKBONE_FILES)
    for name in BACKBONE_FILES:
        assert (tmp_path / name).read_bytes() == (backbone / name).read_bytes()


@pytest.fixture
def mirror(backbone: Path) -> Iterator[str]:
    with serving_folder(backbone) as address:
        yield address


def test_mirror_is_downloaded(mirror: str, tmp_path: Path) -> None:
    assert fetch(mirror, tmp_path) == 48_368


def error_message(source: str, folder: Path) -> str:
    with pytest.raises(BoxlineError) as raised:
        fetch(source, folder)
    return str(raised.value)


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    assert error_message("nowhere/resnet", tmp_path) == (
        "nowhere/resnet/config.json not found. A folder given as `source` in params.yaml must have the layout of "
        "the upstream. The weights of this system are config.json, model.weights.h5."
    )


def test_unknown_handle_is_reported(tmp_path: Path) -> None:
    assert error_message("resnet_51", tmp_path) == (
        "params.yaml: systems.coco_yolo.pretrained.source: 'resnet_51' could not be fetched (Unknown preset "
        "identifier. A preset must be a one of). Check the name and the network, or give a folder or an http(s) or s3 "
        "address that holds config.json, model.weights.h5, or `random` for random weights."
    )


def test_credentials_in_a_handle_are_redacted(tmp_path: Path) -> None:
    message = error_message("gs://me:password@bucket/preset?key=abc", tmp_path)
    assert message.startswith(
        "params.yaml: systems.coco_yolo.pretrained.source: 'gs://bucket/preset' could not be fetched"
    )
    assert "password" not in message
    assert "abc" not in message


def test_unreachable_hub_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_published(_: ResNetWeights) -> None:
        try:
            raise OSError("Name or service not known")
        except OSError as error:
            raise RuntimeError("Max retries exceeded with url: /v1/models") from error

    monkeypatch.setattr(ResNetWeights, "load_published", load_published)
    assert error_message("upstream", tmp_path) == (
        "params.yaml: systems.coco_yolo.pretrained.source: 'upstream' could not be fetched (Name or service not "
        "known). Check the name and the network, or give a folder or an http(s) or s3 address that holds "
        "config.json, model.weights.h5, or `random` for random weights."
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
def test_corrupt_files_are_reported(backbone: Path, tmp_path: Path, name: str, content: bytes) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(backbone, damaged)
    (damaged / name).write_bytes(content)
    message = error_message(str(damaged), tmp_path / "fetched")
    assert message.startswith(f"{tmp_path}/fetched holds no pretrained weights that can be loaded (")
    assert message.endswith(
        "). Expected the files that Keras or KerasHub writes: correct pretrained.source in params.yaml, or fetch "
        "them again."
    )
    assert "Traceback" not in message
    assert len(message) < 500


def test_weights_of_another_network_are_rejected(backbone: Path, tmp_path: Path) -> None:
    random_weights("rectangle_localizer", tmp_path / "vgg")
    mixed = tmp_path / "mixed"
    shutil.copytree(backbone, mixed)
    shutil.copy(tmp_path / "vgg" / "model.weights.h5", mixed)
    assert "holds no pretrained weights that can be loaded" in error_message(str(mixed), tmp_path / "fetched")


@pytest.mark.parametrize("module", WITH_WEIGHTS)
def test_loaded_weights_have_the_dtype_policy_of_the_training(module: str, tmp_path: Path) -> None:
    random_weights(module, tmp_path / "a")
    with dtype_policy("mixed_bfloat16"):
        loaded = load_pretrained(tmp_path / "a")
        convolutions = [layer for layer in loaded._flatten_layers() if isinstance(layer, keras.layers.Conv2D)]
        assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}
        assert {layer.variable_dtype for layer in convolutions} == {"float32"}


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(
    "system", [*WITH_WEIGHTS, "digits_localizer", "digits_distributional_localizer", "coco_anchor_free_detector"]
)
def test_outputs_are_float32_under_every_dtype_policy(system: str, precision: str, tmp_path: Path) -> None:
    entry = load_params(PROJECT / "params.yaml").system(system)
    declared = get_system(entry.module)
    targets = parse_config(entry.targets, declared.targets_config, "targets")
    model = parse_config(entry.model, declared.model_config, "model")
    with dtype_policy(precision):
        pretrained = None
        if declared.pretrained_scales:
            random_weights(entry.module, tmp_path / "a")
            pretrained = load_pretrained(tmp_path / "a")
        channels = 1 if pretrained is None else 3
        whole = declared.model_factory().build_model(model, targets, ModelShape(96, channels, 4), pretrained)
        outputs = whole(np.zeros((1, 96, 96, channels), np.uint8))
        assert {keras.backend.standardize_dtype(values.dtype) for values in outputs.values()} == {"float32"}


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_boxes_are_encoded_for_anchors_in_float32(precision: str, tmp_path: Path) -> None:
    random_weights("coco_retinanet", tmp_path / "a")
    system = get_system("coco_retinanet")
    targets = parse_config({"max_boxes": 3, "crowd": "encode"}, system.targets_config, "targets")
    config = parse_config({"class_prior": None}, system.model_config, "model")
    with dtype_policy(precision):
        pretrained = load_pretrained(tmp_path / "a")
        model = system.model_factory().build_model(config, targets, ModelShape(96, 3, 4), pretrained)
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
