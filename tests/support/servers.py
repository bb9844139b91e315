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

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""Value of SO_LINGER with which closing a connection sends a reset (RST)."""


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Ignore clients that disconnect in the middle, as they do in some tests."""

    def shutdown_request(self, request: Any) -> None:
        """Close a connection that is to be reset without an orderly shutdown."""
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(RESET_ON_CLOSE)) == RESET_ON_CLOSE:
            self.close_request(request)
        else:
            super().shutdown_request(request)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def serving(handler: Callable[..., Any]) -> Iterator[str]:
    """Yield the address of a server whose requests `handler` handles."""
    with Server(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=partial(running.serve_forever, poll_interval=0.01))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


def serving_folder(folder: Path) -> contextlib.AbstractContextManager[str]:
    """Yield the address of a server of the files in `folder`."""
    return serving(partial(QuietHandler, directory=str(folder)))


@dataclass(frozen=True)
class Fault:
    """How one response to a GET differs from a correct one. Bytes are counted from the start of its body.

    Attributes:
        new_content: replaces the content of the file just before the response.
        status: replaces the status.
        headers: replace headers; a header of None is omitted.
        body: replaces the body.
        ignores_range: whether the complete file is sent for any requested range.
        shift: by how many bytes the range starts later than requested.
        cut: the bytes after which the connection is closed.
        reset: the bytes after which the connection is reset.
        stall: the bytes after which the server is silent until `resume` is set.

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


NO_FAULT = Fault()


class FaultyServer:
    """A server of files with strong ETags, ranges and conditional requests that injects faults.

    Attributes:
        files: the content of each file by path.
        faults: the faults of the next GET requests, one each.
        default_fault: the fault of every GET when `faults` is used up.
        head_fault: the fault of every HEAD.
        requests: method, path and Range header of each request.
        targets: the path of each request with its query.
        received_headers: the headers of each request.
        sent_bytes: the number of bytes sent in bodies.
        kill_after: a process id, and the number of bytes after which that process is killed.
        is_stalled: set while a fault stalls a response.
        resume: ends the stall.

    """

    def __init__(self, files: dict[str, bytes], *faults: Fault) -> None:
        self.files = dict(files)
        self.faults = list(faults)
        self.requests: list[tuple[str, str, str | None]] = []
        self.targets: list[str] = []
        self.received_headers: list[dict[str, str]] = []
        self.default_fault = NO_FAULT
        self.head_fault = NO_FAULT
        self.kill_after: tuple[int, int] | None = None
        self.sent_bytes = 0
        self.is_stalled = threading.Event()
        self.resume = threading.Event()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Yield the address of the running server."""
        with serving(partial(_FaultyHandler, self)) as address:
            try:
                yield address
            finally:
                self.resume.set()

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of each GET."""
        return [requested for method, _, requested in self.requests if method == "GET"]

    def next_fault(self) -> Fault:
        with self._lock:
            return self.faults.pop(0) if self.faults else self.default_fault

    def count_sent(self, size_bytes: int) -> None:
        """Count sent bytes, and kill the process of `kill_after` when the number is reached."""
        with self._lock:
            self.sent_bytes += size_bytes
            if self.kill_after is not None:
                process, remaining_bytes = self.kill_after
                self.kill_after = (process, remaining_bytes - size_bytes)
                if remaining_bytes <= size_bytes:
                    self.kill_after = None
                    os.kill(process, signal.SIGKILL)


def etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


PIECE_BYTES = 1 << 12


class _FaultyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, owner: FaultyServer, *arguments: Any) -> None:
        self.owner = owner
        super().__init__(*arguments)

    def setup(self) -> None:
        # A small buffer, so that a killed client has received about as many bytes as were sent.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE_BYTES)
        super().setup()

    def do_HEAD(self) -> None:
        self._respond(self.owner.head_fault)

    def do_GET(self) -> None:
        self._respond(self.owner.next_fault())

    def _respond(self, fault: Fault) -> None:
        self.close_connection = True
        path = self.path.partition("?")[0].lstrip("/")
        self.owner.requests.append((self.command, path, self.headers.get("Range")))
        self.owner.targets.append(self.path)
        self.owner.received_headers.append(dict(self.headers))
        if fault.new_content is not None:
            self.owner.files[path] = fault.new_content
        if path not in self.owner.files:
            fault = Fault(status=404, body=b"")
        status, headers, body = self._correct_response(self.owner.files.get(path, b""), fault)
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

    def _correct_response(self, content: bytes, fault: Fault) -> tuple[int, dict[str, str | None], bytes]:
        headers: dict[str, str | None] = {"Content-Type": "application/octet-stream", "ETag": etag(content)}
        requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        is_same = self.headers.get("If-Range", etag(content)) == etag(content)
        if not requested or not is_same or fault.ignores_range:
            return 200, {**headers, "Content-Length": str(len(content))}, content
        first = int(requested[1]) + fault.shift
        if first >= len(content):
            return 416, {**headers, "Content-Range": f"bytes */{len(content)}", "Content-Length": "0"}, b""
        headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        return 206, {**headers, "Content-Length": str(len(content) - first)}, content[first:]

    def _send(self, body: bytes, fault: Fault) -> None:
        if fault.stall is not None:
            self._send_pieces(body[: fault.stall])
            self.owner.is_stalled.set()
            self.owner.resume.wait()
            body = body[fault.stall :]
        end = next((end for end in (fault.cut, fault.reset) if end is not None), len(body))
        self._send_pieces(body[:end])
        if fault.reset is not None:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    def _send_pieces(self, body: bytes) -> None:
        for start in range(0, len(body), PIECE_BYTES):
            piece = body[start : start + PIECE_BYTES]
            self.wfile.write(piece)
            self.owner.count_sent(len(piece))

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def gzipped(content: bytes, cut: int | None = None) -> Fault:
    """Return a fault: a compressed body although the client requested none."""
    body = gzip.compress(content, mtime=0)
    return Fault(body=body, headers={"Content-Encoding": "gzip"}, ignores_range=True, cut=cut)


def chunked(content: bytes, cut: int | None = None) -> Fault:
    """Return a fault: a chunked body, whose length is not announced."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (content[:100], content[100:], b""))
    headers = {"Content-Length": None, "Transfer-Encoding": "chunked", "ETag": etag(content)}
    return Fault(body=body, headers=headers, ignores_range=True, cut=cut)


@contextlib.contextmanager
def seaweed(folder: Path, bucket: str, access_key: str, secret_key: str) -> Iterator[str]:
    """Yield the address of a real S3 server with one bucket and its objects below `folder`."""
    command = [str(Path(sys.executable).with_name("weed")), f"-logdir={folder}", "mini", f"-dir={folder}"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={bucket}", "-webdav=false", "-admin.ui=false"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            # It silently picks another port if one is in use, so the address is read from its output.
            address = next(line.split()[-1] for line in process.stdout if "S3 Endpoint:" in line)
            yield address
        finally:
            process.kill()  # terminating it takes half a minute


SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass(frozen=True)
class SshServer:
    """A running sshd: the user who may log in, the port and the private key."""

    user: str
    port: int
    key: Path


@contextlib.contextmanager
def sshd(folder: Path) -> Iterator[SshServer]:
    """Run an SSH server with its own keys below `folder`. Skips the test if none is installed."""
    if SSHD is None:
        pytest.skip("sshd is not installed (package openssh-server in Debian)")
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # required as root, and missing in containers
    port = free_port()
    settings = [f"HostKey {folder}/host", f"AuthorizedKeysFile {folder}/user.pub", "PasswordAuthentication no"]
    settings += [f"Port {port}", "ListenAddress 127.0.0.1", "PidFile none", "StrictModes no", "UsePAM no"]
    settings += ["Subsystem sftp internal-sftp"]
    (folder / "settings").write_text("\n".join(settings) + "\n")
    command = [SSHD, "-D", "-e", "-f", str(folder / "settings")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert any("Server listening" in line for line in process.stderr)
            yield SshServer(getpass.getuser(), port, folder / "user")
        finally:
            process.kill()


def free_port() -> int:
    """Return an unused port, for servers that cannot pick one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class FlakyProxy:
    """A proxy in front of an S3 server that resets connections which upload certain objects.

    `reject` decides by path whether an upload is reset. `uploaded` are the paths of the other uploads in their order.
    """

    def __init__(self, behind: str, reject: Callable[[str], bool]) -> None:
        host, _, port = behind.rpartition("/")[2].partition(":")
        self._behind = (host, int(port))
        self._reject = reject
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
                    if self._reject(path):
                        source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                        break
                    self.uploaded.append(path)
                target.sendall(piece)
        source.close()
        target.close()


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """Yield the address of a PostgreSQL server of Debian's package with an empty database.

    PostgreSQL does not run as root; in that case the user `postgres` runs it.
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
        command = [f"{programs}/postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
        command += ["-c", f"unix_socket_directories={temporary}", "-c", "fsync=off"]
        with subprocess.Popen([*as_owner, *command], cwd=temporary, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                assert any("ready to accept connections" in line for line in process.stderr)
                threading.Thread(target=process.stderr.read, daemon=True).start()  # so that a full pipe never blocks it
                yield f"postgresql+asyncpg://prefect:@127.0.0.1:{port}/postgres"
            finally:
                process.send_signal(signal.SIGQUIT)
