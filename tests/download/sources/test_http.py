"""Servers with an untrusted certificate."""

import datetime
import ssl
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.download.manifest import Asset
from tests.download.test_transfer import failure
from tests.support.servers import Server


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a server with a self-signed certificate."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    first, last = datetime.datetime(2026, 1, 1), datetime.datetime(2126, 1, 1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), first, last)
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "server.pem").write_bytes(private + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with Server(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_untrusted_certificate_is_not_retried(
    self_signed: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        message = failure(Asset("a.zip"), self_signed, tmp_path / "out")
    assert message.startswith(f"{self_signed}/a.zip could not be read: [SSL: CERTIFICATE_VERIFY_FAILED]")
    assert message.endswith(". Check the address in `source` of params.yaml.")
    assert caplog.messages == []
