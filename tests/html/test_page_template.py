"""Rendering of pages: escaping, the content security policy, and the embedded data."""

import base64
import hashlib
import math
import re
import zipfile
from pathlib import Path

import flit_core.buildapi
import pytest
from playwright.sync_api import Browser

from pipeline.core.errors import BoxlineError
from pipeline.html import page_template
from pipeline.html.page_template import data_url, require_replaceable, write_html_page
from tests.support.pages import Parts, watch
from tests.support.tiny_project import PROJECT

HOSTILE = "</script><!--<script>alert(1)</script>{{ title }}{% raw %}&amp;'\"\u2028é"
TEMPLATE = """{% extends "html/page_template.html" %}
{% block style %}
.mark { color: red; }
{% endblock %}
{% block body %}
<p id="text"></p>
{% endblock %}
{% block script %}
byId("text").textContent = data.text;
{% endblock %}
"""


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page next to a copy of the base template."""
    root = tmp_path / "templates"
    (root / "html").mkdir(parents=True)
    for path in page_template.TEMPLATE_ROOT.glob("html/page_template.*"):
        (root / "html" / path.name).write_bytes(path.read_bytes())
    (root / "page.html").write_text(TEMPLATE)
    monkeypatch.setattr(page_template, "TEMPLATE_ROOT", root)
    return root / "page.html"


@pytest.fixture
def page(template: Path, tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    write_html_page(path, template, HOSTILE, {"text": HOSTILE, HOSTILE: [1.5, None, True]})
    return path


def test_content_security_policy_permits_exactly_the_script_of_the_page(page: Path) -> None:
    text = page.read_bytes()
    policy = re.search(rb'content="(default-src [^"]*)"', text)
    assert policy is not None
    scripts = re.findall(rb"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 1
    assert b'byId("text").textContent = data.text;' in scripts[0]
    digest = base64.b64encode(hashlib.sha256(scripts[0]).digest()).decode()
    assert policy[1].decode() == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_title_and_data_are_text_whatever_they_contain(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script") == 2
    assert "<!--" not in text
    parts = Parts(text)
    assert ("title", HOSTILE) in parts.texts
    assert parts.data() == {"text": HOSTILE, HOSTILE: [1.5, None, True]}


def test_data_keep_the_order_of_keys(template: Path, tmp_path: Path) -> None:
    write_html_page(tmp_path / "page.html", template, "", {"b": 1, "a": {"z": 1, "y": 2}})
    assert '{"b":1,"a":{"z":1,"y":2}}' in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_number_that_is_not_finite_is_an_error(template: Path, page: Path, number: float) -> None:
    before = page.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_html_page(page, template, "", {"number": number})
    assert page.read_bytes() == before


@pytest.mark.slow
def test_hostile_text_is_shown_and_not_run(browser: Browser, page: Path) -> None:
    opened = browser.new_page()
    requests, complaints = watch(opened)
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    opened.goto(page.as_uri())
    assert opened.locator("#text").text_content() == HOSTILE
    assert (requests, complaints) == ([page.as_uri()], [])
    opened.close()


def test_only_pages_are_replaced(page: Path, tmp_path: Path) -> None:
    require_replaceable(page)
    require_replaceable(tmp_path / "missing.html")
    (tmp_path / "mine.html").write_text("<h1>my notes</h1>")
    with pytest.raises(BoxlineError) as raised:
        require_replaceable(tmp_path / "mine.html")
    assert str(raised.value) == (
        f"{tmp_path}/mine.html exists and is not a page of Boxline. Choose another path for --out."
    )


def test_image_becomes_data_url() -> None:
    assert data_url(b"\x89PNG", "png") == "data:image/png;base64,iVBORw=="


def test_every_template_is_part_of_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    wheel = flit_core.buildapi.build_wheel(str(tmp_path))
    templates = {
        path.relative_to(PROJECT).as_posix()
        for pattern in ("*.html", "html/page_template.*")
        for path in (PROJECT / "pipeline").rglob(pattern)
        if "__pycache__" not in path.parts
    }
    assert len(templates) == 7
    with zipfile.ZipFile(tmp_path / wheel) as archive:
        assert templates <= set(archive.namelist())
