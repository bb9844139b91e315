"""Servers on loopback for tests: started for a block, stopped at its end."""

import contextlib
import getpass
import gzip
import hashlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

TEAR_DOWN = struct.pack("ii", 1, 0)
"""Value of SO_LINGER: close sends a reset."""


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hangs up in the middle is what some tests are about."""

    def shutdown_request(self, request: Any) -> None:
        """A connection that is to be torn down gets no farewell first."""
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(TEAR_DOWN)) == TEAR_DOWN:
            self.close_request(request)
        else:
            super().shutdown_request(request)


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


@dataclass(frozen=True)
class MissingObject:
    """How one answer to a GET differs from a good one. Bytes are counted from the start of that answer's body.

    new_content: what the file becomes just before the answer.
    status, headers, body: these instead of the file's; a header of None is left out.
    ignores_range: the whole file whatever was asked.
    shift: a range that begins so many bytes later than asked.
    cut, reset, stall: the bytes after which the connection ends, is torn down, or falls silent until `go_on` is set.
    """

    new_content: bytes | None = None
    status: int | None = None
    headers: dict[str, str | None] = field(default_factory=dict)
    body: bytes | None = None
    ignores_range: bool = False
    shift: int = 0
    cut: int | None = None
    reset: int | None = None
    stall: int | None = None


GOOD = MissingObject()


class BadServer:
    """Files with strong ETags, ranges and conditions, and in front of them faults, one for each GET until they run out.

    `requests` are the method, path and Range of what was asked, in that order; `targets` the paths with their queries.
    """

    def __init__(self, files: dict[str, bytes], *faults: MissingObject) -> None:
        self.files = dict(files)
        self.faults = list(faults)
        self.requests: list[tuple[str, str, str | None]] = []
        self.targets: list[str] = []
        self.received_headers: list[dict[str, str]] = []
        self.good: MissingObject = GOOD
        """What answers when the faults have run out."""
        self.head: MissingObject = GOOD
        """What answers HEAD."""
        self.kill_after: tuple[int, int] | None = None
        """A process that is killed when so many more bytes of bodies have been sent."""
        self.sent_bytes = 0
        self.stalling = threading.Event()
        self.go_on = threading.Event()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """The address."""
        with serving(partial(_BadHandler, self)) as address:
            try:
                yield address
            finally:
                self.go_on.set()

    @property
    def ranges(self) -> list[str | None]:
        """The Range of each GET."""
        return [asked for method, _, asked in self.requests if method == "GET"]

    def next_fault(self) -> MissingObject:
        with self._lock:
            return self.faults.pop(0) if self.faults else self.good

    def sent(self, size_bytes: int) -> None:
        """Count bytes, and kill when it is time."""
        with self._lock:
            self.sent_bytes += size_bytes
            if self.kill_after is not None:
                process, left_bytes = self.kill_after
                self.kill_after = (process, left_bytes - size_bytes)
                if left_bytes <= size_bytes:
                    self.kill_after = None
                    os.kill(process, signal.SIGKILL)


def etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


PIECE_BYTES = 1 << 12


class _BadHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, owner: BadServer, *arguments: Any) -> None:
        self.owner = owner
        super().__init__(*arguments)

    def setup(self) -> None:
        # Little is under way at any time, so that a client that is killed has received about what was sent.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE_BYTES)
        super().setup()

    def do_HEAD(self) -> None:
        self._answer(self.owner.head)

    def do_GET(self) -> None:
        self._answer(self.owner.next_fault())

    def _answer(self, fault: MissingObject) -> None:
        self.close_connection = True
        path = self.path.partition("?")[0].lstrip("/")
        self.owner.requests.append((self.command, path, self.headers.get("Range")))
        self.owner.targets.append(self.path)
        self.owner.received_headers.append(dict(self.headers))
        if fault.new_content is not None:
            self.owner.files[path] = fault.new_content
        if path not in self.owner.files:
            fault = MissingObject(status=404, body=b"")
        status, headers, body = self._good(self.owner.files.get(path, b""), fault)
        if fault.body is not None:
            body = fault.body
            headers["Content-Length"] = str(len(body))
        self.send_response(fault.status or status)
        for name, value in {**headers, **fault.headers, "Connection": "close"}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self._send(body, fault)

    def _good(self, content: bytes, fault: MissingObject) -> tuple[int, dict[str, str | None], bytes]:
        headers: dict[str, str | None] = {"Content-Type": "application/octet-stream", "ETag": etag(content)}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        is_same = self.headers.get("If-Range", etag(content)) == etag(content)
        if not asked or not is_same or fault.ignores_range:
            return 200, {**headers, "Content-Length": str(len(content))}, content
        first = int(asked[1]) + fault.shift
        if first >= len(content):
            return 416, {**headers, "Content-Range": f"bytes */{len(content)}", "Content-Length": "0"}, b""
        headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        return 206, {**headers, "Content-Length": str(len(content) - first)}, content[first:]

    def _send(self, body: bytes, fault: MissingObject) -> None:
        if fault.stall is not None:
            self._send_pieces(body[: fault.stall])
            self.owner.stalling.set()
            self.owner.go_on.wait()
            body = body[fault.stall :]
        end = next((end for end in (fault.cut, fault.reset) if end is not None), len(body))
        self._send_pieces(body[:end])
        if fault.reset is not None:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, TEAR_DOWN)

    def _send_pieces(self, body: bytes) -> None:
        for start in range(0, len(body), PIECE_BYTES):
            piece = body[start : start + PIECE_BYTES]
            self.wfile.write(piece)
            self.owner.sent(len(piece))

    def log_message(self, *_: object) -> None:
        """Quiet."""


def gzipped(content: bytes, cut: int | None = None) -> MissingObject:
    """An answer that is encoded although nobody asked for it."""
    body = gzip.compress(content, mtime=0)
    return MissingObject(body=body, headers={"Content-Encoding": "gzip"}, ignores_range=True, cut=cut)


def chunked(content: bytes, cut: int | None = None) -> MissingObject:
    """An answer that does not say how long it is going to be."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (content[:100], content[100:], b""))
    headers = {"Content-Length": None, "Transfer-Encoding": "chunked", "ETag": etag(content)}
    return MissingObject(body=body, headers=headers, ignores_range=True, cut=cut)


@contextlib.contextmanager
def seaweed(folder: Path, bucket: str, access_key: str, secret_key: str) -> Iterator[str]:
    """The address of a real S3 server that keeps its objects below `folder`, with one bucket."""
    words = [str(Path(sys.executable).with_name("weed")), f"-logdir={folder}", "mini", f"-dir={folder}"]
    words += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={bucket}", "-webdav=false", "-admin.ui=false"]
    words += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            # A port that is taken is replaced without a word, so the address is the one that it prints.
            address = next(line.split()[-1] for line in process.stdout if "S3 Endpoint:" in line)
            yield address
        finally:
            process.kill()  # it takes half a minute to end by itself


SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass(frozen=True)
class SshServer:
    """A running sshd: who may log in at which port with which key."""

    user: str
    port: int
    key: Path


@contextlib.contextmanager
def sshd(folder: Path) -> Iterator[SshServer]:
    """Debian's SSH server with keys of its own below `folder`; the test is skipped where it is not installed."""
    if SSHD is None:
        pytest.skip("There is no sshd, so no SSH remote is tried; Debian has it in openssh-server.")
    for name in ("host", "user"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(words, check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # it asks for this folder as root, and a container has none
    port = free_port()
    settings = [f"HostKey {folder}/host", f"AuthorizedKeysFile {folder}/user.pub", "PasswordAuthentication no"]
    settings += [f"Port {port}", "ListenAddress 127.0.0.1", "PidFile none", "StrictModes no", "UsePAM no"]
    settings += ["Subsystem sftp internal-sftp"]
    (folder / "settings").write_text("\n".join(settings) + "\n")
    words = [SSHD, "-D", "-e", "-f", str(folder / "settings")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert any("Server listening" in line for line in process.stderr)
            yield SshServer(getpass.getuser(), port, folder / "user")
        finally:
            process.kill()


def free_port() -> int:
    """A port that nobody listens at, for servers that want to be told one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class FlakyProxy:
    """In front of an S3 server: tears down a connection that would upload an object which `refuse` says no to.

    `uploaded` are the paths of the uploads that were let through, in their order.
    """

    def __init__(self, behind: str, refuse: Callable[[str], bool]) -> None:
        host, _, port = behind.rpartition("/")[2].partition(":")
        self._behind = (host, int(port))
        self._refuse = refuse
        self.uploaded: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "FlakyProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._behind)
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=(source, target, source is client), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                upload = re.match(rb"PUT ([^ ?]+)[^ ]* HTTP/1.1\r\n", piece) if from_client else None
                if upload:
                    path = upload[1].decode()
                    if self._refuse(path):
                        source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, TEAR_DOWN)
                        break
                    self.uploaded.append(path)
                target.sendall(piece)
        source.close()
        target.close()


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server of Debian's package, with an empty database.

    It refuses to run as root, so that its own user then runs it.
    """
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    with tempfile.TemporaryDirectory() as temporary:
        port, as_owner = free_port(), []
        if os.geteuid() == 0:
            shutil.chown(temporary, "postgres")
            as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        data = f"{temporary}/data"
        initdb = [f"{programs}/initdb", "--pgdata", data, "--auth=trust", "--username=prefect", "--no-sync"]
        subprocess.run([*as_owner, *initdb], check=True, stdout=subprocess.DEVNULL, cwd=temporary)
        words = [f"{programs}/postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
        words += ["-c", f"unix_socket_directories={temporary}", "-c", "fsync=off"]
        with subprocess.Popen([*as_owner, *words], cwd=temporary, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                assert any("ready to accept connections" in line for line in process.stderr)
                threading.Thread(target=process.stderr.read, daemon=True).start()  # so that it never waits to be heard
                yield f"postgresql+asyncpg://prefect:@127.0.0.1:{port}/postgres"
            finally:
                process.send_signal(signal.SIGQUIT)
