"""Tests of the layers in docs/architecture.md: imports point downwards, and low layers import no framework."""

import ast
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

# From the bottom up. A module imports from its own layer and the layers below.
LAYERS = [
    {"core"},
    {"geometry", "archives", "html", "download"},
    {"plots", "packing", "pretrained"},
    {"datasets"},
    {"validation", "systems"},
    {"diff", "remote", "targets"},
    {"lineage", "inference"},
    {"training", "evaluation"},
    {"stages", "cli"},
]
SYSTEMS = [
    "digits_localizer",
    "rectangle_localizer",
    "snack_localizer",
    "coco_yolo",
    "coco_retinanet",
    "distributional_localizer",
    "anchor_free_detector",
]
DATASETS = ["coco", "digits", "rectangles", "snacks"]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules() -> list[Path]:
    return sorted((PROJECT / "pipeline").rglob("*.py"))


def flows() -> list[Path]:
    return sorted((PROJECT / "flows").rglob("*.py"))


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def package_of(dotted: str) -> str:
    """pipeline.geometry.boxes.Boxes -> geometry"""
    return dotted.split(".")[1]


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_imports_point_downwards(path: Path) -> None:
    own = path.relative_to(PROJECT).with_suffix("").as_posix().replace("/", ".")
    if own == "pipeline.__init__":
        return
    for name in imported_names(path):
        if name.startswith("pipeline."):
            assert LEVEL[package_of(name)] <= LEVEL[package_of(own)], f"{own} imports {name}"


@pytest.mark.parametrize(
    ("group", "one", "other"),
    [
        *(("systems", one, other) for one, other in itertools.permutations(SYSTEMS, 2)),
        *(("datasets", one, other) for one, other in itertools.permutations(DATASETS, 2)),
    ],
)
def test_systems_and_datasets_do_not_import_each_other(group: str, one: str, other: str) -> None:
    paths = list((PROJECT / "pipeline" / group / one).glob("*.py"))
    assert len(paths) > 3
    for path in paths:
        assert not any(name.startswith(f"pipeline.{group}.{other}") for name in imported_names(path)), path


def test_data_stages_and_commands_start_without_a_framework() -> None:
    """Data checks run in CI on every change, so they must not import a framework that they do not use."""
    stages = ["sample", "download", "tables", "inspect", "validate", "pack", "targets"]
    light = [f"stages.{name}" for name in stages]
    light += [dotted(path) for package in ("plots", "html", "diff", "cli") for path in modules_of(package)]
    light += [dotted(path) for path in modules_of("datasets")]
    light += [f"systems.{name}.{part}" for name in SYSTEMS for part in ("system", "targets")]
    light += ["training.progress_page", "inference.inputs", "inference.predictions_file"]
    code = "import sys\n" + "\n".join(f"import pipeline.{name}" for name in light)
    code += "\nprint([m for m in ('tensorflow', 'keras', 'jax', 'torch') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert result.stdout == "[]\n"


def modules_of(package: str) -> list[Path]:
    return [path for path in modules() if path.is_relative_to(PROJECT / "pipeline" / package)]


def dotted(path: Path) -> str:
    """The name of a module below `pipeline`."""
    name = path.relative_to(PROJECT / "pipeline").with_suffix("").as_posix().replace("/", ".")
    return name.removesuffix(".__init__")


def test_models_and_losses_use_no_backend_of_their_own() -> None:
    """`keras.ops` only, so that TensorFlow, JAX and PyTorch all run them."""
    for path in (PROJECT / "pipeline" / "systems").rglob("*.py"):
        backends = {name.split(".")[0] for name in imported_names(path)} & {"tensorflow", "jax", "torch"}
        assert not backends, path


def test_flows_import_only_the_core_of_pipeline_which_imports_no_flows() -> None:
    """Stages run without Prefect, and flows without what stages need."""
    assert len(flows()) > 10
    for path in flows():
        names = {name for name in imported_names(path) if name.split(".")[0] == "pipeline"}
        assert all(name.startswith("pipeline.core.") for name in names), path
    for path in modules():
        assert not any(name.split(".")[0] == "flows" for name in imported_names(path)), path


def test_no_module_of_flows_hides_a_package_of_the_project() -> None:
    """Prefect puts the folder of a flow first on Python's path when it loads the flow."""
    assert {path.stem for path in flows()}.isdisjoint({"pipeline", "flows"})


@pytest.mark.slow
def test_flows_start_without_tensorflow() -> None:
    """Each run is a process of its own, and scheduled runs start every few minutes."""
    names = [path.relative_to(PROJECT).with_suffix("").as_posix().replace("/", ".") for path in flows()]
    code = "import sys\n" + "\n".join(f"import {name}" for name in names if not name.endswith("__init__"))
    heavy = ("tensorflow", "keras", "jax", "torch", "pyarrow", "pycocotools", "matplotlib")
    code += f"\nprint([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert result.stdout == "[]\n"


def test_packages_hold_nothing_but_a_docstring() -> None:
    """So that no stage needs to name an __init__.py."""
    for path in (PROJECT / "pipeline").rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path
