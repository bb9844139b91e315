"""Commands and stages on terminals that lack letters of the data: escapes instead of an error."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import main as cli
from pipeline.core import schema
from pipeline.core.parquet import write_table
from pipeline.core.terminal import escape_unencodable_output
from pipeline.datasets.annotations import Reading
from tests.support.scenes import NO_ARCHIVES, files_of
from tests.support.tiny_project import PROJECT, tiny_params, write_params
from tests.support.validation_scene import BOXES, IMAGES, tables_of

CLASSES = ("猫", "Köln → Bonn")
ENCODINGS = {"ascii": r"\u732b", "latin-1": r"\u732b", "cp437": r"\u732b", "utf-8": "猫", "utf-16-le": "猫"}
"""What each encoding makes of the first class."""


class Terminal(io.TextIOWrapper):
    """A stream of that encoding which raises on other letters, as Python opens stdout."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict")

    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of a dataset with such classes, and of a version with one box less; a file of that name."""
    folder = tmp_path_factory.mktemp("猫 Köln")
    write_params(folder, tiny_params())
    for name, boxes in (("coco", BOXES), ("earlier", BOXES[:-1])):
        tables = tables_of(IMAGES, boxes, CLASSES)
        Reading(tables).write(folder / "data" / name / "tables")
        tables.write(folder / "data" / name / "validate")
        write_table(folder / "data" / name / "inspect" / "files.parquet", files_of(tables.images), schema.FILES)
        write_table(folder / "data" / name / "inspect" / "archives.parquet", NO_ARCHIVES, schema.ARCHIVES)
    (folder / "猫.json").write_text("{}", encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run([Path(sys.executable).with_name("dvc"), "init", "--quiet"], cwd=folder, check=True)
    return folder


COMMANDS = [
    (["check", "coco", "--verbose"], 0),
    (["check", "coco", "--github"], 0),
    (["diff", "data/earlier/validate", "data/coco/validate"], 0),
    (["export", "data/coco/validate", "猫.export.json"], 0),
    (["export", "data/coco/validate", "猫.json", "--split", "猫"], 2),
    (["outdated"], 0),
    (["outdated", "猫"], 1),
    (["params"], 0),
    (["summary"], 0),
    (["trace", "猫.json"], 1),
    (["verify", "--remote", "猫"], 1),
    (["repair", "--remote", "猫"], 1),
    (["record", "--started", "猫"], 2),
    (["predict", "猫", "猫.jpg"], 1),
    (["猫"], 2),
    (["check", "--help"], 0),
    (["--help"], 0),
]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_commands_end_as_on_a_terminal_with_all_letters(
    project: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    printed = ""
    for argv, code in COMMANDS:
        stdout, stderr = Terminal(encoding), Terminal(encoding)
        with pytest.MonkeyPatch.context() as patches:
            patches.setattr(sys, "stdout", stdout)
            patches.setattr(sys, "stderr", stderr)
            patches.setattr(sys, "argv", ["boxline", *argv])
            with pytest.raises(SystemExit) as ended:
                cli.main()
        assert (ended.value.code or 0) == code, (argv, stderr.text())
        assert "Traceback" not in stderr.text()
        printed += stdout.text()
    assert ENCODINGS[encoding] in printed


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_characters_that_an_encoding_lacks_are_escaped(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    stdout, stderr = Terminal(encoding), Terminal(encoding)
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "stderr", stderr)
    escape_unencodable_output()
    name = os.fsdecode(b"caf\xe9.jpg")  # as the operating system gives it, no character of any encoding
    for stream in (stdout, stderr):
        stream.write(f"猫 {name}\n")
        assert stream.text() == f"{ENCODINGS[encoding]} caf\\udce9.jpg\n"


def test_stage_and_command_as_processes(project: Path, tmp_path: Path) -> None:
    """As a container without a locale starts them, also with Python's UTF-8 mode off."""
    folder = Path(shutil.copytree(project, tmp_path / "project"))
    env = {**os.environ, "PYTHONPATH": str(PROJECT), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    options = {"tables": "data/coco/tables", "out": "data/coco/validate"}
    options |= {name: f"data/coco/inspect/{name}.parquet" for name in ("files", "archives")}
    suffixes = {"report": "json", "summary": "md", "page": "html"}
    options |= {name: f"reports/coco/validate.{suffix}" for name, suffix in suffixes.items()}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    for argv in (["stages.validate", "coco", *words], ["cli.main", "check", "coco", "--verbose"]):
        command = [sys.executable, "-m", f"pipeline.{argv[0]}", *argv[1:]]
        result = subprocess.run(command, cwd=folder, env=env, check=False, capture_output=True)
        assert result.returncode == 0, result.stderr.decode()
        assert result.stdout.isascii()
    assert b"\\u732b" in result.stdout
    assert "猫" in (folder / "reports" / "coco" / "validate.md").read_text(encoding="utf-8")
