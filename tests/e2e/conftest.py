"""One project, built once by a real `dvc repro`, a record of what each of its stages imported, and a Prefect server."""

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from tests.support.dataset_folders import write_tree
from tests.support.mini_project import make_mini_project
from tests.support.prefect_server import PrefectServer, make_empty_database, prefect_server
from tests.support.tiny_project import make_tiny_project, run_dvc

# Python runs a module of this name at every start. At the end it writes down which files of the project were imported.
RECORD_IMPORTS = """
import atexit, json, os, sys, uuid

def record():
    files = [getattr(module, "__file__", None) for name, module in list(sys.modules.items())
             if name.startswith("pipeline.") or name == "__main__"]
    path = os.path.join(os.environ["IMPORTS_FOLDER"], uuid.uuid4().hex + ".json")
    with open(path, "w") as file:
        json.dump({"words": sys.argv, "files": [name for name in files if name]}, file)

if any(word.startswith("pipeline.stages.") for word in sys.orig_argv):
    atexit.register(record)
"""

REPRO = ("--wait-for-lock", "repro", "--glob")


def write_photographs(folder: Path) -> None:
    """Files of a user: images without splits, with an XML file beside each of them."""
    for number in range(1, 7):
        name = f"photograph {number}"
        corners = f"<xmin>{number}</xmin><ymin>4</ymin><xmax>30</xmax><ymax>38</ymax>"
        box = f"<object><name>{'cat' if number % 2 else 'dog'}</name><bndbox>{corners}</bndbox></object>"
        size = "<size><width>64</width><height>48</height></size>"
        annotation = f"<annotation><filename>{name}.png</filename>{size}{box}</annotation>"
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        write_tree(folder, {f"{name}.xml": annotation})
        Image.fromarray(pixels).save(folder / f"{name}.png")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The project, the folder with its records of imports, and what DVC printed.

    It is built once for all processes of the tests, by the one that needs it first.
    """
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "recorded"
    project, records, output = folder / "project", folder / "imports", folder / "output.txt"
    with FileLock(folder.with_suffix(".lock")):
        if not output.exists():
            shutil.rmtree(folder, ignore_errors=True)
            project.mkdir(parents=True)
            records.mkdir()
            (folder / "sitecustomize.py").write_text(RECORD_IMPORTS)
            write_photographs(project / "photographs")
            make_tiny_project(project, {"photographs": {"format": "voc", "source": "photographs"}})
            env = {"PYTHONPATH": str(folder), "IMPORTS_FOLDER": str(records), "OMP_NUM_THREADS": "1"}
            # Two processes of DVC, as in `make run`: the other process of the tests may be waiting for this build.
            with ThreadPoolExecutor() as executor:
                halves = (("evaluate@coco_*",), ("evaluate@[!c]*", "validate@photographs"))
                results = executor.map(lambda stages: run_dvc(project, *REPRO, *stages, **env), halves)
                output.write_text("".join(result.stdout for result in results))
    return project, records, output.read_text()


@pytest.fixture(scope="session")
def built(recorded: tuple[Path, Path, str]) -> Path:
    """The project after its first `dvc repro`. Tests that change it work on a copy."""
    return recorded[0]


@pytest.fixture(scope="session")
def imports(recorded: tuple[Path, Path, str]) -> dict[tuple[str, str], set[str]]:
    """The project's modules that each stage imported, by stage and key, as paths below the project."""
    project, records, _ = recorded
    found = {}
    for path in records.iterdir():
        record = json.loads(path.read_text())
        script, key, *_ = record["words"]
        files = {Path(name).relative_to(project).as_posix() for name in record["files"]}
        found[Path(script).stem, key] = {name for name in files if not name.endswith("__init__.py")}
    return found


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The empty database of a Prefect server, created once for all processes of the tests."""
    root = tmp_path_factory.getbasetemp()
    return make_empty_database((root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "prefect_database")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[PrefectServer]:
    """One Prefect server for each process of the tests; its latest run is that of the current test."""
    with prefect_server(tmp_path_factory.mktemp("prefect"), empty_database=empty_database) as running:
        yield running


@pytest.fixture(scope="session")
def new_mini_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mini project in which nothing has run. Tests work on a copy."""
    return make_mini_project(tmp_path_factory.mktemp("mini") / "project")
