"""Parsing of dvc.lock and the graph of its stages."""

import pytest

from pipeline.core.dvc_lock import DvcLock, is_complete_lock
from pipeline.core.errors import BoxlineError

TEXT = """\
schema: '2.0'
stages:
  draw:
    cmd: draw
    deps:
    - {path: make.py, md5: code1}
    - {path: 's3://bucket/numbers', etag: tag}
    params:
      params.yaml: {count: 3}
    outs:
    - {path: data/draw, md5: draw.dir}
  split:
    cmd: split
    deps:
    - {path: data/draw/1.txt, md5: draw1}
    - {path: lib, md5: code2.dir}
    outs:
    - {path: data/split/train, md5: split1}
    - {path: data/split/test, md5: split2}
  score:
    cmd: score
    deps:
    - {path: data/split, md5: split.dir}
    - {path: make.py, md5: code1}
    outs:
    - {path: scores.json, md5: split1}
  other:
    cmd: other
    outs:
    - {path: data/drawn, md5: other1}
"""


@pytest.fixture
def lock() -> DvcLock:
    return DvcLock.parse(TEXT)


def test_stage_has_dependencies_params_and_outputs(lock: DvcLock) -> None:
    stage = lock.stages["draw"]
    assert (stage.name, stage.dependencies) == ("draw", {"make.py": "code1"})
    assert (stage.params, stage.outputs) == ({"params.yaml": {"count": 3}}, {"data/draw": "draw.dir"})


def test_inputs_are_paths_that_no_stage_writes(lock: DvcLock) -> None:
    assert lock.inputs() == ["lib", "make.py", "params.yaml"]


def test_upstream_follows_files_of_folders_and_folders_of_files(lock: DvcLock) -> None:
    assert [stage.name for stage in lock.upstream(lock.stages["score"])] == ["score", "split", "draw"]
    assert [stage.name for stage in lock.upstream(lock.stages["other"])] == ["other"]


def test_same_content_may_have_several_producers(lock: DvcLock) -> None:
    producers = lock.producers("split1")
    assert [(stage.name, path) for stage, path in producers] == [
        ("split", "data/split/train"),
        ("score", "scores.json"),
    ]
    assert lock.producers("code1") == []


def test_outputs_by_path(lock: DvcLock) -> None:
    assert list(lock.outputs().items()) == [
        ("data/draw", "draw.dir"),
        ("data/split/test", "split2"),
        ("data/split/train", "split1"),
        ("scores.json", "split1"),
        ("data/drawn", "other1"),
    ]


INVALID = [
    "",
    "stages: [",
    "stages: [1]",
    "nothing",
    "schema: '2.0'",
    "schema: '2.0'\nstages:\n",
    "schema: '2.0'\nstages: {draw: {outs: [1]}}",
    "schema: '2.0'\nstages: {draw: {cmd: draw, outs: [{path: data, md5: draw1}], de}}",
    TEXT[: TEXT.index("- {path: scores.json") + 6],
]


@pytest.mark.parametrize("text", INVALID)
def test_invalid_lock_raises_error_with_its_source(text: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        DvcLock.parse(text, "dvc.lock of 1234567")
    assert str(raised.value) == (
        "dvc.lock of 1234567 is not a valid dvc.lock. `git restore dvc.lock` restores the committed one, `dvc repro` "
        "creates it again."
    )


def test_complete_lock_ends_with_newline_and_is_valid() -> None:
    assert is_complete_lock(TEXT.encode())
    assert not is_complete_lock(None)
    assert not is_complete_lock(b"\xff\n")
    assert not is_complete_lock(TEXT.rstrip("\n").encode())
    assert not any(is_complete_lock(f"{text}\n".encode()) for text in INVALID)
