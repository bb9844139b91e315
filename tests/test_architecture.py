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
    {"plots", "pretrained"},
    {"datasets", "packing"},
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


def test_text_files_are_utf_8_under_any_locale() -> None:
    """Python's default encoding is the user's: a file written on one machine would not be read on another."""
    for path in [*modules(), *flows(), *(PROJECT / "benchmarks").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and is_text_without_encoding(node):
                raise AssertionError(f"{path}:{node.lineno}: name encoding='utf-8'")


def is_text_without_encoding(call: ast.Call) -> bool:
    """Whether a call opens a text file, or a process with text as its output, without an encoding."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    position = {"read_text": 0, "write_text": 1, "open": 3 if isinstance(call.func, ast.Name) else 2}.get(name)
    if "encoding" in keywords or (position is not None and len(call.args) > position):
        return False
    if name == "open":
        mode_position = 1 if isinstance(call.func, ast.Name) else 0
        mode = call.args[mode_position] if len(call.args) > mode_position else keywords.get("mode")
        # Other classes have a method of this name, such as ZipFile and the opener of urllib.
        if not (isinstance(mode, ast.Constant) and str(mode.value).strip("+") in ("r", "w", "a", "x", "rt", "wt")):
            return isinstance(call.func, ast.Name) and mode is None
        return True
    return position is not None or "text" in keywords or "universal_newlines" in keywords


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("path.read_text()", True),
        ("path.write_text(text)", True),
        ("open(path)", True),
        ("path.open('w')", True),
        ("open(path, mode='a')", True),
        ("run(argv, text=True)", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text, 'utf-8')", False),
        ("path.open('rb')", False),
        ("open(path, 'wb')", False),
        ("zip_file.open('member.txt')", False),
        ("run(argv, encoding='utf-8')", False),
    ],
)
def test_missing_encodings_are_found(code: str, expected: bool) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert is_text_without_encoding(call) is expected


def test_every_entry_point_writes_to_any_terminal() -> None:
    """A module that runs as a program ends in one of these functions, which call `escape_unencodable_output` first."""
    programs = {"pipeline/cli/main.py": "main()", "flows/server.py": "serve()"}
    found = []
    for path in [*modules(), *flows()]:
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(PROJECT).as_posix()
        if "__main__" in source:
            found.append(name)
            last = source.rstrip().splitlines()[-1]
            assert programs.get(name, f"run_stage({path.stem})") in last
            assert name not in programs or "    escape_unencodable_output()\n" in source
    assert len(found) > len(programs)
    assert "    escape_unencodable_output()\n" in (PROJECT / "pipeline/stages/runner.py").read_text(encoding="utf-8")


def test_packages_hold_nothing_but_a_docstring() -> None:
    """So that no stage needs to name an __init__.py."""
    for path in (PROJECT / "pipeline").rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path
