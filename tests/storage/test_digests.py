import hashlib
from pathlib import Path

import pyarrow as pa

from pipeline.storage.archives import ArchiveFolder, write_archive
from pipeline.storage.digests import member_digests


def test_a_digest_per_image_and_null_for_one_that_is_not_there(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.zip", [("x/1.jpg", b"one"), ("x/2.jpg", b"two")])
    images = pa.table({"archive": ["a.zip"] * 3, "member": ["x/2.jpg", "x/3.jpg", "x/1.jpg"]})
    with ArchiveFolder(tmp_path) as archives:
        assert member_digests(images, archives).to_pylist() == [
            hashlib.sha256(b"two").hexdigest(),
            None,
            hashlib.sha256(b"one").hexdigest(),
        ]
