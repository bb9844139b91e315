"""Servers on loopback for tests: started for a block, stopped at its end."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hangs up in the middle is what some tests are about."""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def serving(handler: Callable[..., Any]) -> Iterator[str]:
    """The address of a server that answers with `handler`."""
    with Server(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=partial(running.serve_forever, poll_interval=0.01))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


def serving_folder(folder: Path) -> contextlib.AbstractContextManager[str]:
    """The address of a server of the files in `folder`."""
    return serving(partial(QuietHandler, directory=str(folder)))
