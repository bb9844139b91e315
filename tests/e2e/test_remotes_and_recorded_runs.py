"""Runs kept in a remote and in Git, by commands as users type them, with real Git, DVC, S3 and SSH."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest

from tests.support.recorded_project import DRAW, SECOND, TOTAL, boxline, git, make_project, stored
from tests.support.servers import seaweed, sshd
from tests.support.tiny_project import run_dvc

pytestmark = pytest.mark.slow

ACCESS_KEY, SECRET_KEY = "boxline", "only-for-this-test"


@dataclass
class Remote:
    """A remote of DVC: its address, what else DVC has to know, and a way to lose an object."""

    address: str
    settings: dict[str, str]
    lose: Callable[[str], None]
    variables: dict[str, str] = field(default_factory=dict)

    def join(self, project: Path) -> None:
        """Make it the default remote of a project."""
        run_dvc(project, "remote", "add", "--local", "--default", "store", self.address)
        for name, value in self.settings.items():
            run_dvc(project, "remote", "modify", "--local", "store", name, value)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("built") / "project")


@pytest.fixture
def project(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))  # what DVC remembers of remotes
    return Path(shutil.copytree(built, tmp_path / "project", symlinks=True))


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    with seaweed(tmp_path_factory.mktemp("s3"), "bucket", ACCESS_KEY, SECRET_KEY) as address:
        keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)

        def lose(oid: str) -> None:
            client.delete_object(Bucket="bucket", Key=f"numbers/files/md5/{oid[:2]}/{oid[2:]}")

        variables = {name.upper(): value for name, value in keys.items()}
        yield Remote("s3://bucket/numbers", {"endpointurl": address, "region": "us-east-1"}, lose, variables)
        client.close()


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    folder = tmp_path_factory.mktemp("ssh")
    with sshd(tmp_path_factory.mktemp("sshd")) as server:
        address = f"ssh://{server.user}@127.0.0.1:{server.port}{folder}"
        yield Remote(address, {"keyfile": str(server.key)}, lambda oid: stored(folder, oid).unlink())


def assert_missing_objects_are_repaired(project: Path, remote: Remote, shown: str) -> None:
    remote.join(project)
    run_dvc(project, "push", **remote.variables)
    whole = f"All 6 objects of dvc.lock are in the remote 'store' ({shown}): 0.0 MB.\n"
    for oid in (TOTAL, DRAW, SECOND):
        remote.lose(oid)
    result = boxline(project, "verify", check=False, **remote.variables)
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout == (
        f"data/total.txt of total ({TOTAL}): missing\n"
        f"data/draw of draw ({DRAW}): missing\n"
        f"data/draw/1.txt of draw ({SECOND}): missing\n"
        f"3 of 6 objects of dvc.lock are missing or corrupt in the remote 'store' ({shown}). `boxline repair` "
        "restores what it can.\n"
    )
    assert boxline(project, "repair", **remote.variables).stdout == (
        f"data/total.txt of total ({TOTAL}) missing: uploaded from the cache\n"
        f"data/draw of draw ({DRAW}) missing: uploaded from the cache\n"
        f"data/draw/1.txt of draw ({SECOND}) missing: uploaded from the cache\n" + whole
    )
    shutil.rmtree(project / ".dvc" / "cache")
    assert boxline(project, "verify", **remote.variables).stdout == whole  # lists of files come from the remote


def test_missing_objects_of_s3_remote_are_reported_and_repaired(project: Path, s3: Remote) -> None:
    assert_missing_objects_are_repaired(project, s3, "s3://bucket/numbers")


def test_missing_objects_of_ssh_remote_are_reported_and_repaired(project: Path, ssh: Remote) -> None:
    assert_missing_objects_are_repaired(project, ssh, ssh.address.replace(f"{os.environ.get('USER', 'root')}@", ""))


def test_access_and_network_errors_have_different_exit_codes(project: Path, s3: Remote) -> None:
    """Messages and exit codes differ: 75 is for a failure that may pass, which flows retry."""
    s3.join(project)
    run_dvc(project, "push", **s3.variables)
    advice = "Check its address with `dvc remote list`, that its server runs, and the credentials; then run it again.\n"
    remote = "Error: The remote 'store' (s3://bucket/numbers) cannot be used"
    assert verify_error(project, **{**s3.variables, "AWS_SECRET_ACCESS_KEY": "wrong"}) == (
        f"{remote} (PermissionError: The request signature we calculated does not match the signature you provided. "
        f"Check your key and signing method). {advice}"
    )
    run_dvc(project, "remote", "modify", "--local", "store", "endpointurl", "http://127.0.0.1:9")
    assert verify_error(project, 75, **s3.variables, AWS_MAX_ATTEMPTS="1") == (
        f'{remote} (EndpointConnectionError: Could not connect to the endpoint URL: "http://127.0.0.1:9/bucket"). '
        f"{advice}"
    )
    run_dvc(project, "remote", "modify", "--local", "store", "endpointurl", s3.settings["endpointurl"])
    run_dvc(project, "remote", "modify", "--local", "store", "url", "s3://other/numbers")
    assert verify_error(project, **s3.variables) == (
        "Error: The remote 'store' (s3://other/numbers) does not exist, or nothing was ever pushed to it (The "
        "specified bucket does not exist). Check `dvc remote list`, mount the disk or create the bucket; then run `dvc "
        "push`.\n"
    )


def verify_error(project: Path, code: int = 1, **variables: str) -> str:
    result = boxline(project, "verify", check=False, **variables)
    assert (result.returncode, result.stdout) == (code, "")
    return result.stderr


def test_clone_of_recorded_run_has_its_outputs_and_metrics(project: Path, tmp_path: Path) -> None:
    """With code and parameters that are committed nowhere else, and compared with the run before it."""
    run_dvc(project, "remote", "add", "--local", "--default", "store", str(tmp_path / "remote"))
    run_dvc(project, "push")
    boxline(project, "record")
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("weight: 10", "weight: 20"))
    run_dvc(project, "repro")
    run_dvc(project, "push")
    boxline(project, "verify")
    boxline(project, "record")
    git(tmp_path, "clone", "--quiet", "--branch", "runs", str(project), "clone")
    clone = tmp_path / "clone"
    run_dvc(clone, "remote", "add", "--local", "--default", "store", str(tmp_path / "remote"))
    run_dvc(clone, "pull")
    assert run_dvc(clone, "status").stdout == "Data and pipelines are up to date.\n"
    output = run_dvc(clone, "repro").stdout
    assert (output.count("didn't change, skipping"), "Running stage" in output) == (3, False)
    metrics = Path("reports") / "metrics.json"
    assert (clone / metrics).read_bytes() == (project / metrics).read_bytes()
    compared = json.loads(run_dvc(clone, "metrics", "diff", "runs~1", "runs", "--json").stdout)
    assert compared == {
        "reports/metrics.json": {"weighted_bytes": {"old": 540, "new": 1080, "diff": 540}},
    }
    assert git(project, "status", "--porcelain", "--untracked-files=no") == "M params.yaml"
