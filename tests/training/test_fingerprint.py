from pathlib import Path

import keras
import numpy as np

from pipeline.core.config import load_params
from pipeline.packing.shards import Shards, shard_path, write_shard
from pipeline.training.fingerprint import PIPELINE, code_files, fingerprint, fingerprint_config
from tests.support.tiny_project import PROJECT


def test_fingerprint_depends_on_values_files_and_data(tmp_path: Path) -> None:
    code = tmp_path / "model.py"

    def digest(rate: float = 0.1, text: str = "a", ids: tuple[int, ...] = (1, 2), pixel: int = 5, box: int = 7) -> str:
        code.write_text(text)
        folder = tmp_path / f"{ids}{pixel}{box}"
        pixels = np.full((len(ids), 2, 2, 1), pixel, np.uint8)
        write_shard(shard_path(folder / "pack", "train", 0), np.array(ids), {"image": pixels})
        write_shard(shard_path(folder / "targets", "train", 0), np.array(ids), {"box": np.full((len(ids), 4), box)})
        return fingerprint(
            {"rate": rate}, [code], Shards(folder / "pack", "train"), Shards(folder / "targets", "train")
        )

    changes = [digest(rate=0.2), digest(text="b"), digest(ids=(1, 3)), digest(pixel=6), digest(box=8)]
    assert len({digest(), *changes}) == 6
    assert digest() == digest()


def test_config_holds_the_sections_and_versions_that_a_training_depends_on() -> None:
    system = load_params(PROJECT / "params.yaml").system("coco_yolo")
    config = fingerprint_config(2017, system)
    assert config["train"] == system.train
    sections = {"module", "pretrained", "pack", "targets", "model", "train"}
    assert {"seed", *sections, "backend", "keras", "keras-hub"} < set(config)
    assert config["backend"].startswith(f"{keras.config.backend()} ")
    assert "evaluate" not in config


def test_code_files_are_those_of_training_geometry_and_the_own_system() -> None:
    files = {path.relative_to(PIPELINE).as_posix() for path in code_files("coco_yolo")}
    assert {
        "training/fit.py",
        "systems/common/layers.py",
        "systems/coco_yolo/model.py",
        "geometry/boxes.py",
        "pretrained/load.py",
        "inference/predictor.py",
    } < files
    assert not any(name.startswith(("systems/coco_retinanet", "evaluation", "stages")) for name in files)
    assert all((PIPELINE / name).is_file() for name in files)
