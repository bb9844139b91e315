from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.core.errors import BoxlineError
from pipeline.systems.common.labels import Labels
from tests.support.stages import run_stage
from tests.support.tiny_project import PROJECT, write_params


@pytest.mark.parametrize(
    ("system", "size", "reason"),
    [
        ("digits_distributional_localizer", 98, "2 halvings need a side that is a multiple of 4 px"),
        ("coco_anchor_free_detector", 100, "5 stages need a side that is a multiple of 32 px"),
    ],
)
def test_image_size_that_does_not_fit_the_model_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, size: int, reason: str
) -> None:
    params = YAML(typ="safe", pure=True).load(PROJECT / "params.yaml")
    params["systems"][system]["pack"]["image_size"] = size
    write_params(tmp_path, params)
    targets = tmp_path / "data" / system / "targets"
    targets.mkdir(parents=True)
    Labels(np.array([1, 2], np.int32), ["cat", "dog"]).write(targets)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BoxlineError) as raised:
        run_stage("train", system)
    assert str(raised.value) == (
        f"params.yaml: systems.{system}: the model cannot be built for images of {size} px ({reason}). "
        "Change pack.image_size, the model section or the pretrained weights."
    )
    assert not list((tmp_path / "data" / system).glob("train*"))
