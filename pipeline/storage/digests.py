"""Digests of the images inside the archives."""

import hashlib

import pyarrow as pa

from pipeline.progress import bar
from pipeline.storage.archives import MAX_IMAGE_BYTES, ArchiveFolder


def member_digests(images: pa.Table, archives: ArchiveFolder) -> pa.Array:
    """SHA-256 of each row's image as hex, string [rows]; null where its archive lacks the member."""
    digests = []
    members = zip(images["archive"].to_pylist(), images["member"].to_pylist(), strict=True)
    with bar("hashing", images.num_rows, "image") as progress:
        for path, member in members:
            archive = archives[path]
            digests.append(
                hashlib.sha256(archive.read(member, MAX_IMAGE_BYTES)).hexdigest() if member in archive else None
            )
            progress.update()
    return pa.array(digests, pa.string())
