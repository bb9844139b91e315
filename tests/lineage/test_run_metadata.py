"""Values in run.json."""

import pytest

from pipeline.core.errors import BoxlineError
from pipeline.lineage.run_metadata import parse_params, redact


def test_urls_are_redacted_at_any_depth() -> None:
    given = {
        "a": [{"source": "s3://key:hunter2@bucket/x?versionId=1#part"}],
        "b": "first http://me:hunter2@host/a?token=hunter2 then https://hunter2@host/b",
        "c": "what? a path/with@sign",
    }
    assert redact(given) == {
        "a": [{"source": "s3://bucket/x"}],
        "b": "first http://host/a then https://host/b",
        "c": "what? a path/with@sign",
    }


def test_params_are_converted_to_json_types() -> None:
    assert parse_params("a: .nan\nb: 2026-11-21\nc: {1: null}\nd: 2e-4\ne: true") == {
        "a": "nan",
        "b": "2026-11-21",
        "c": {"1": None},
        "d": 0.0002,
        "e": True,
    }


def test_missing_params_are_none() -> None:
    assert parse_params(None) is None


def test_invalid_params_raise_error() -> None:
    with pytest.raises(BoxlineError) as raised:
        parse_params("a: [")
    assert str(raised.value).startswith("params.yaml is not valid YAML (")
