"""Published weights as a predictor, with a small preset of the same architecture, loaded by the real code."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest

from pipeline.core.errors import BoxlineError
from pipeline.inference.predictor import Predictor
from pipeline.inference.preset_predictor import load_preset_predictor, preset_labels, preset_metadata
from pipeline.pretrained.handles import require_preset_files
from pipeline.systems.common.layers import imagenet_scaling
from tests.support.presets import write_preset
from tests.support.servers import serving_folder

pytestmark = pytest.mark.slow

SIZE = 64


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_preset(tmp_path_factory.mktemp("preset") / "small", image_size=(SIZE, SIZE))


@pytest.fixture(scope="module")
def predictor(preset: Path) -> Predictor:
    return load_preset_predictor(str(preset))


def load(source: str) -> None:
    """Load a preset as `boxline predict` does."""
    require_preset_files(source)
    load_preset_predictor(source)


def message_of(source: Path | str) -> str:
    with pytest.raises(BoxlineError) as raised:
        load(str(source))
    return str(raised.value)


def edited(preset: Path, folder: Path, **converter: Any) -> Path:
    """A copy of the preset whose image converter has other options."""
    shutil.copytree(preset, folder)
    task = json.loads((folder / "task.json").read_text())
    task["config"]["preprocessor"]["config"]["image_converter"]["config"] |= converter
    (folder / "task.json").write_text(json.dumps(task))
    return folder


def test_network_has_the_outputs_of_the_library_for_the_pixels_of_its_own_preprocessor(
    preset: Path, predictor: Predictor
) -> None:
    library = keras_hub.models.RetinaNetObjectDetector.from_preset(str(preset))
    pixels = np.random.default_rng(2).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.uint8)
    expected = library(library.preprocessor(pixels.astype(np.float32)))
    outputs = predictor.model(pixels)
    for name, values in expected.items():
        np.testing.assert_allclose(outputs[name], values, atol=1e-5)
    # The scale of the preset is not ImageNet's: with that the outputs would differ.
    imagenet = library(imagenet_scaling()(pixels))
    assert np.abs(np.asarray(imagenet["cls_logits"]) - expected["cls_logits"]).max() > 0.01


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        (options, shape)
        for options in (
            {"pad_to_aspect_ratio": True, "crop_to_aspect_ratio": False},
            {"pad_to_aspect_ratio": False, "crop_to_aspect_ratio": True},
            {"pad_to_aspect_ratio": False, "crop_to_aspect_ratio": False},
        )
        for shape in ((100, 200), (201, 77), (64, 64))
    ],
)
def test_image_and_boxes_are_where_the_preprocessor_puts_them(
    predictor: Predictor, options: dict[str, bool], shape: tuple[int, int]
) -> None:
    """Red and green rise along the axes of the image, so that each pixel of the model input shows where it is from."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([255 * (columns + 0.5) / width, 255 * (rows + 0.5) / height, np.full(shape, 255)], axis=-1)
    converter = keras_hub.layers.RetinaNetImageConverter(image_size=(SIZE, SIZE), **options)
    expected = np.asarray(converter(image.astype(np.float32)))
    predictor = dataclasses.replace(predictor, metadata=preset_metadata(converter, "small"))
    model_input, transform = predictor.resize(image.round().astype(np.uint8))
    inside = (expected[..., 2] > 250) & (model_input[..., 2] > 250)
    assert inside.mean() > 0.3
    assert np.abs(expected - model_input)[inside].max() < 8  # interpolation by area differs at the borders
    assert np.abs((expected[..., 2] > 128).mean() - (model_input[..., 2] > 128).mean()) < 0.02
    # A box around a pixel of the model input, mapped back to the image, is where the color of that pixel comes from.
    [box] = transform.inverse_boxes(np.array([[0.4, 0.4, 0.2, 0.2]]) + np.array([0.5, 0.5, 0, 0]) / SIZE)
    center = model_input[SIZE // 2, SIZE // 2] / 255
    assert (box[0] + box[2] / 2) / width == pytest.approx(center[0], abs=0.02)
    assert (box[1] + box[3] / 2) / height == pytest.approx(center[1], abs=0.02)


def test_classes_have_the_names_of_the_preset(predictor: Predictor) -> None:
    labels = predictor.labels
    assert (len(labels.names), labels.names[1], labels.names[10]) == (91, "person", "traffic light")
    assert labels.category_ids.tolist() == list(range(91))  # 0 is no category: the background
    few = preset_labels(2)
    assert (few.names, few.category_ids.tolist()) == (["class 0", "class 1"], [1, 2])


def test_preset_without_a_preprocessor_has_the_published_size(tmp_path: Path) -> None:
    predictor = load_preset_predictor(str(write_preset(tmp_path / "plain", image_size=None)))
    assert (predictor.metadata.image_size, predictor.metadata.resize) == (800, "letterbox")
    black = np.zeros((1, 1, 1, 3), np.uint8)
    scaled = np.asarray(predictor.model.scale_pixels(black))[0, 0, 0]
    assert scaled == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])


def test_preset_is_downloaded(preset: Path) -> None:
    with serving_folder(preset) as address:
        assert load_preset_predictor(address).metadata.image_size == SIZE
        assert message_of(f"{address}/other?token=abc").startswith(f"{address}/other/config.json returned 404")


def test_sizes_that_do_not_work_are_reported(preset: Path, tmp_path: Path) -> None:
    wide = edited(preset, tmp_path / "wide", image_size=[64, 96])
    assert (
        message_of(wide) == f"--pretrained: {wide} takes images of 96 x 64 px, expected a square. Give another preset."
    )
    huge = edited(preset, tmp_path / "huge", image_size=[9999, 9999])
    assert message_of(huge) == f"--pretrained: {huge}: image_size: received 9999, expected an integer <= 4096."
    odd = edited(preset, tmp_path / "odd", image_size=[100, 100])
    assert message_of(odd) == (
        f"--pretrained: {odd} takes images of 100 px, expected a multiple of 32, since its network doubles features of "
        "that stride. Give another preset."
    )


EXPECTED = (
    "Expected the name of a RetinaNet of KerasHub, such as retinanet_resnet50_fpn_v2_coco, a handle such as "
    "hf://keras/retinanet_resnet50_fpn_v2_coco, or a folder or an http(s) URL with config.json, model.weights.h5, "
    "task.json, task.weights.h5, as `save_to_preset` writes them."
)
EXAMPLE = "Type for example: boxline predict --pretrained retinanet_resnet50_fpn_v2_coco photo.jpg"


def test_wrong_sources_are_reported(preset: Path, tmp_path: Path) -> None:
    assert message_of("retinanet_51") == (
        "--pretrained: received 'retinanet_51', expected one of retinanet_resnet50_fpn_coco, "
        f"retinanet_resnet50_fpn_v2_coco, a handle of another hub, a folder or an http(s) URL. {EXAMPLE}"
    )
    assert message_of("no/where") == f"--pretrained: no/where is not a folder. {EXPECTED} {EXAMPLE}"
    assert message_of("s3://me:secret@bucket/x") == f"--pretrained: s3://bucket/x is on S3. {EXPECTED}"
    shutil.copytree(preset, tmp_path / "part")
    (tmp_path / "part" / "task.json").unlink()
    assert message_of(tmp_path / "part") == f"--pretrained: {tmp_path}/part lacks task.json. {EXPECTED} {EXAMPLE}"


def test_unreachable_hub_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_preset(_: str) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(keras_hub.models.RetinaNetObjectDetector, "from_preset", from_preset)
    assert message_of("retinanet_resnet50_fpn_v2_coco") == (
        "--pretrained: 'retinanet_resnet50_fpn_v2_coco' could not be fetched (Name or service not known). Check the "
        "name and the network, or give a folder or an http(s) URL that holds config.json, model.weights.h5, "
        "task.json, task.weights.h5."
    )


def test_code_in_a_preset_is_never_executed(preset: Path, tmp_path: Path) -> None:
    """A lambda in place of the preprocessor, and a function of Python in place of the anchors."""
    ran = tmp_path / "ran"
    name = str(ran)
    layer = keras.layers.Lambda(lambda pixels: Path(name).touch() or pixels)
    code = keras.saving.serialize_keras_object(layer)
    system = {"module": "os", "class_name": "mkdir", "config": {"path": str(ran)}, "registered_name": "mkdir"}
    for number, (section, value) in enumerate((("preprocessor", code), ("anchor_generator", system))):
        hostile = tmp_path / str(number)
        shutil.copytree(preset, hostile)
        task = json.loads((hostile / "task.json").read_text())
        task["config"][section] = value
        (hostile / "task.json").write_text(json.dumps(task))
        message = message_of(hostile)
        assert message.startswith(f"--pretrained: {hostile} holds no RetinaNet that can be loaded (")
        assert message.endswith(EXPECTED)
        assert not ran.exists()
