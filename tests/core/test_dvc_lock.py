"""dvc.lock as a graph of stages, and values for run.json."""

import pytest

from pipeline.core.dvc_lock import Lock
from pipeline.core.errors import BoxlineError
from pipeline.lineage.run_metadata import cleaned, params_of

TEXT = """\
schema: '2.0'
stages:
  draw:
    cmd: draw
    deps:
    - {path: make.py, md5: a1}
    - {path: s3://bucket/numbers, etag: e}
    params:
      params.yaml: {count: 3}
    outs:
    - {path: data/draw, md5: d1.dir}
  split:
    cmd: split
    deps:
    - {path: data/draw/1.txt, md5: d2}
    - {path: lib, md5: a2.dir}
    outs:
    - {path: data/split/train, md5: s1}
    - {path: data/split/test, md5: s2}
  score:
    cmd: score
    deps:
    - {path: data/split, md5: s3.dir}
    - {path: make.py, md5: a1}
    outs:
    - {path: scores.json, md5: s1}
  other:
    cmd: other
    outs:
    - {path: data/drawn, md5: o1}
"""


def test_what_stages_read_and_no_stage_makes() -> None:
    assert Lock(TEXT, "dvc.lock").inputs() == ["lib", "make.py", "params.yaml"]


def test_the_way_back_goes_through_parts_of_folders_and_folders_of_parts() -> None:
    lock = Lock(TEXT, "dvc.lock")
    assert [stage.name for stage in lock.upstream(lock.stages["score"])] == ["score", "split", "draw"]
    assert [stage.name for stage in lock.upstream(lock.stages["other"])] == ["other"]


def test_one_content_may_have_several_makers() -> None:
    makers = Lock(TEXT, "dvc.lock").makers("s1")
    assert [(stage.name, path) for stage, path in makers] == [("split", "data/split/train"), ("score", "scores.json")]
    assert Lock(TEXT, "dvc.lock").makers("a1") == []


def test_outputs_by_path() -> None:
    assert list(Lock(TEXT, "dvc.lock").outputs().items()) == [
        ("data/draw", "d1.dir"),
        ("data/split/test", "s2"),
        ("data/split/train", "s1"),
        ("scores.json", "s1"),
        ("data/drawn", "o1"),
    ]


@pytest.mark.parametrize(
    "text", ["stages: [", "stages: [1]", "nothing", "schema: '2.0'", "stages: {draw: {outs: [1]}}"]
)
def test_what_is_no_lock_is_named(text: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        Lock(text, "dvc.lock of 1234567")
    assert str(raised.value) == (
        "dvc.lock of 1234567 cannot be read as what DVC writes, a list of stages. `git restore dvc.lock` brings a "
        "committed one back, `dvc repro` makes it anew."
    )


def test_addresses_lose_their_secrets_at_any_depth() -> None:
    given = {
        "a": [{"source": "s3://key:hunter2@bucket/x?versionId=1#part"}],
        "b": "first http://me:hunter2@host/a?token=hunter2 then https://hunter2@host/b",
        "c": "what? a path/with@sign",
    }
    assert cleaned(given) == {
        "a": [{"source": "s3://bucket/x"}],
        "b": "first http://host/a then https://host/b",
        "c": "what? a path/with@sign",
    }


def test_parameters_are_what_json_can_hold() -> None:
    assert params_of("a: .nan\nb: 2026-11-21\nc: {1: null}\nd: 2e-4\ne: true") == {
        "a": "nan",
        "b": "2026-11-21",
        "c": {"1": None},
        "d": 0.0002,
        "e": True,
    }
    assert params_of(None) is None
    with pytest.raises(BoxlineError) as raised:
        params_of("a: [")
    assert str(raised.value).startswith("params.yaml is no valid YAML (")
