"""Links, API pages and the glossary of the Markdown documents. `make docs` also checks them as a site."""

import re
from pathlib import Path

import pytest

from tests.support.tiny_project import PROJECT

TOP_LEVEL = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "data/README.md")
PAGES = sorted([*(PROJECT / name for name in TOP_LEVEL), *(PROJECT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?://)([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
DECISIONS = sorted((PROJECT / "docs" / "decisions").glob("[0-9]*.md"))


def text_without_code(path: Path) -> str:
    return re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text_without_code(path))]
    return {heading.strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_links_lead_to_existing_files_and_headings(page: Path) -> None:
    for target in LINK.findall(text_without_code(page)):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_modules_that_the_sources_page_names_exist() -> None:
    text = (PROJECT / "docs" / "sources.md").read_text(encoding="utf-8")
    paths = {
        path
        for path in re.findall(r"`([a-z_]+/[\w/.]*)`", text)
        if path != "pipeline/" and not path.startswith(("reports/", "data/"))
    }
    assert "systems/coco_yolo/model.py" in paths
    assert [path for path in sorted(paths) if not (PROJECT / "pipeline" / path).exists()] == []


def test_every_package_has_an_api_page() -> None:
    packages = {path.parent.name for path in (PROJECT / "pipeline").glob("*/__init__.py")}
    pages = {path.stem for path in (PROJECT / "docs" / "api").glob("*.md")}
    assert pages == {*packages, "flows", "index"}


@pytest.mark.parametrize("record", DECISIONS, ids=lambda record: record.stem)
def test_decision_has_status_date_and_the_four_sections(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    assert re.match(
        rf"# {int(record.name[:4])}\. .+\n\n- Status: (accepted|superseded by \d{{4}})\n- Date: \d{{4}}-\d\d-\d\d\n",
        text,
    )
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Alternatives"]


def test_decision_index_lists_every_record_in_order() -> None:
    index = (PROJECT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[\d{4}\]\((.+?)\)", index, re.MULTILINE) == [record.name for record in DECISIONS]
    for record in DECISIONS:
        title = record.read_text(encoding="utf-8").partition("\n")[0].partition(". ")[2]
        assert f"({record.name}) | {title} |" in index


def test_every_dependency_has_a_reason() -> None:
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    names = set(re.findall(r'^    "([\w-]+)(?:\[[\w-]+\])?[><=]', text, re.MULTILINE))
    assert {"dvc", "keras", "pytest", "mkdocs"} <= names
    reasons = (PROJECT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    listed = {
        name.replace(".", "-") for row in re.findall(r"^\| ([^|]+) \|", reasons, re.MULTILINE) for name in row.split()
    }
    listed = {re.sub(r"\[.*\]|,$", "", name.rstrip(",")) for name in listed}
    assert names <= listed, sorted(names - listed)
