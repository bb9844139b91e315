from pathlib import Path

import pytest

from pipeline.core.errors import BoxlineError
from pipeline.inference.predictor import load_model

pytestmark = pytest.mark.slow


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_text("not a model")
    with pytest.raises(BoxlineError) as raised:
        load_model(tmp_path, "digits_localizer")
    assert str(raised.value).startswith(f"{path} is not a model that can be loaded (")
    assert str(raised.value).endswith("`dvc repro` trains it anew.")
