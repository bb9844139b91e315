"""Helpers that read HTML pages with a parser and with a browser."""

import contextlib
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page


class Parts(HTMLParser):
    """Parses a page: the text of each element and the attributes of each tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[tuple[str, str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open, data))

    def data(self) -> dict:  # type: ignore[type-arg]
        [text] = [text for tag, text in self.texts if tag == "script" and text.startswith("{")]
        return json.loads(text)


def watch(page: Page) -> tuple[list[str], list[str]]:
    """Lists that collect the URLs that the page requests, and its errors and warnings."""
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return requests, complaints


@contextlib.contextmanager
def quiet_page(browser: Browser, path: Path, **options: Any) -> Iterator[Page]:
    """An open page that must request no other URL and log no error, warning or dialog until the block ends."""
    page = browser.new_page(**options)
    requests, complaints = watch(page)
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(path.as_uri())
    yield page
    assert [address for address in requests if not address.startswith("data:")] == [path.as_uri()]
    assert complaints == []
    page.close()
