"""Flows on a small project, with a real DVC and a real Prefect server."""

import base64
import io
import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import httpx
import psutil
import pytest
from PIL import Image

from flows.workspace import LeaseOwner
from tests.support.mini_project import faults, flow_argv, flow_env, git
from tests.support.prefect_server import PrefectServer
from tests.support.servers import serving
from tests.support.tiny_project import make_tiny_project, run_dvc, tiny_params, write_params

pytestmark = pytest.mark.slow

STAGES = [
    "download@coco",
    "download@digits",
    "validate@coco",
    "train@coco_yolo",
    "train@digits_localizer",
    "evaluate@coco_yolo",
]


@pytest.fixture
def project(tmp_path: Path, new_mini_project: Path) -> Path:
    """In a folder whose name a shell or a URL would need quoted."""
    return Path(shutil.copytree(new_mini_project, tmp_path / "my project ü (1)"))


def test_run_builds_everything_and_the_next_one_skips_it(project: Path, server: PrefectServer) -> None:
    assert server.run_flow(project) == ("Completed", "Up to date: 9 tasks completed, 1 skipped.")
    assert run_dvc(project, "status").stdout == "Data and pipelines are up to date.\n"
    first = server.latest_run()
    states = server.task_states(first["id"])
    assert states == {**dict.fromkeys(["parameters", *STAGES, "push", "record"], "Completed"), "pull": "Skipped"}
    commit = git(project, "rev-parse", "--short", "main")
    assert sorted(first["tags"]) == [
        f"commit:{commit}", "dataset:coco", "dataset:digits", "system:coco_yolo", "system:digits_localizer"
    ]  # fmt: skip
    artifacts = server.artifacts(first["id"])
    assert json.loads(artifacts["metrics-coco-yolo"]["data"]) == [
        {"metric": "AP", "score": 0.25, "baseline": 0.01, "oracle": 0.9, "last run": None, "change": None}
    ]
    data_url = artifacts["predictions-coco-yolo"]["data"]
    with Image.open(io.BytesIO(base64.b64decode(data_url.partition(",")[2]))) as image:
        assert image.size == (60, 40)
    assert (project / "reports" / "coco_yolo").as_uri() in artifacts["report-coco-yolo"]["data"]

    assert server.run_flow(project) == ("Completed", "Up to date: 3 tasks completed, 7 skipped.")
    second = server.latest_run()
    stages = [task for task in server.task_runs(second["id"]) if task["name"] in STAGES]
    assert len(stages) == len(STAGES)
    assert {task["state"]["message"] for task in stages} == {"Skipped: no dependency has changed."}
    [row] = json.loads(server.artifacts(second["id"])["metrics-coco-yolo"]["data"])
    assert (row["last run"], row["change"]) == (0.25, 0)
    assert git(project, "log", "--format=%s", "main") == "mini"
    assert git(project, "status", "--porcelain") == "?? dvc.lock"
    record = json.loads(git(project, "show", "runs:run.json"))
    assert record["flow_run"] == second["id"]


def test_forced_stage_runs_although_nothing_has_changed_and_network_failures_are_retried(
    project: Path, server: PrefectServer
) -> None:
    run_dvc(project, "repro", "validate@coco")
    faults(project, "download@coco", "75", "75")
    name, _ = server.run_flow(project, force=["download@coco"], targets=["validate@coco"], push=False)
    assert name == "Completed"
    run = server.latest_run()["id"]
    assert server.attempts(run) == {"parameters": 1, "pull": 1, "download@coco": 3, "validate@coco": 1, "record": 1}
    states = server.task_states(run)
    assert (states["download@coco"], states["validate@coco"]) == ("Completed", "Skipped")


def test_invalid_data_is_not_retried_and_its_report_is_published(project: Path, server: PrefectServer) -> None:
    faults(project, "validate@coco", "1")
    name, message = server.run_flow(project, targets=["evaluate", "train"])
    assert name == "Failed"
    flow_run_id = server.latest_run()["id"]
    log_file = project / ".dvc/tmp/boxline/logs" / flow_run_id / "validate@coco.log"
    assert message == (
        "validate@coco: invalid data or parameters. Error: validate@coco fails on request "
        f"(full output: {log_file}) "
        "Not run: train@coco_yolo, evaluate@coco_yolo, train@digits_localizer."
    )
    assert log_file.read_text().startswith("Running stage 'validate@coco':\n")
    assert server.attempts(flow_run_id)["validate@coco"] == 1
    states = server.task_states(flow_run_id)
    assert states["download@digits"] == "Completed"
    assert states["train@coco_yolo"] == "NotReady"
    assert states["push"] == "Completed"
    assert server.artifacts(flow_run_id)["validate-coco"]["data"] == "# coco\n\n3 of 9 rows are in quarantine"


def test_training_out_of_memory_is_retried_once_with_half_the_batch(project: Path, server: PrefectServer) -> None:
    """Half of the batch of an override, which applies to one run only, as the half does."""
    faults(project, "train@coco_yolo", "12")
    params = (project / "params.yaml").read_text()
    options = {"targets": ["train@coco_yolo"], "pull": False, "push": False}
    name, _ = server.run_flow(project, overrides=["systems.coco_yolo.train.batch_size=10"], **options)
    assert name == "Completed"
    assert server.attempts(server.latest_run()["id"])["train@coco_yolo"] == 2
    assert "systems.coco_yolo.train.batch_size: 5" in (project / "dvc.lock").read_text()
    assert (project / "params.yaml").read_text() == params
    assert "batch_size: 5" in git(project, "show", "runs:params.yaml")

    faults(project, "train@digits_localizer", "12", "12")
    name, message = server.run_flow(project, targets=["train@digits_localizer"], pull=False, push=False)
    assert (name, message.partition(".")[0]) == ("Failed", "train@digits_localizer: out of memory")
    assert server.attempts(server.latest_run()["id"])["train@digits_localizer"] == 2


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"overrides": ["systems.coco_yolo.nothing=4"]}, "overrides: systems.coco_yolo.nothing=4: "),
        (
            {"overrides": ["systems.coco_yolo.train.batch_size=no"]},
            "parameters: invalid data or parameters. Error: params.yaml: "
            "systems.coco_yolo.train.batch_size: received 'no', expected",
        ),
        (
            {"targets": ["nonsense"]},
            "targets: nonsense is not a stage of dvc.yaml; expected one of download, evaluate, train, validate.",
        ),
        ({"max_parallel_stages": 0}, "flow run_pipeline: max_parallel_stages: received 0, expected an integer >= 1."),
    ],
)
def test_run_with_invalid_parameters_fails_and_changes_nothing(
    project: Path, server: PrefectServer, parameters: dict[str, object], expected: str
) -> None:
    name, message = server.run_flow(project, pull=False, push=False, **parameters)
    assert (name, message[: len(expected)]) == ("Failed", expected)
    assert git(project, "status", "--porcelain") == ""


def test_concurrent_run_is_skipped_and_a_hanging_stage_times_out(project: Path, server: PrefectServer) -> None:
    faults(project, "download@coco", "hang")
    options = {"targets": ["download@coco"], "pull": False, "push": False}
    first = subprocess.Popen(
        flow_argv("run_pipeline", {**options, "time_limits_minutes": {"download": 0.15}}),
        cwd=project,
        env=flow_env(**server.env),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    while not (project / "hanging").exists():
        assert first.poll() is None
        time.sleep(0.05)
    first_run = server.latest_run()
    name, message = server.run_flow(project, **options)
    assert name == "Skipped"
    assert message.startswith(f"Skipped: the workspace is locked by {first_run['name']} (process {first.pid} on ")
    output, _ = first.communicate()
    name, message = json.loads(output.splitlines()[-1])
    assert name == "Failed"
    assert message.startswith(
        "download@coco: timed out. The command and all its child processes were terminated (full output: "
    )
    assert not is_running(int((project / "hanging").read_text()))
    progress = server.artifacts(first_run["id"])["progress-download-coco"]
    assert progress["description"] == "download@coco: images, 1 of 4"


class Webhook(BaseHTTPRequestHandler):
    received: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


SAVE_WEBHOOK = """
import sys
from prefect.blocks.webhook import Webhook
from prefect.variables import Variable

Webhook(url=sys.argv[1], allow_private_urls=True).save("alerts")
Variable.set("boxline_notify", "webhook/alerts")
"""


def test_webhook_is_notified_of_failed_and_of_killed_runs(project: Path, server: PrefectServer) -> None:
    faults(project, "download@coco", "1")
    flow_id = server.post("flows/", name="pipeline")["id"]
    killed = server.post("flow_runs/", flow_id=flow_id, state={"type": "RUNNING"})
    owner = LeaseOwner(killed["id"], killed["name"], "here", 77, "2026-11-21T18:45:02Z")
    state_dir = project / ".dvc/tmp/boxline"
    state_dir.mkdir(parents=True)
    (state_dir / "owner.json").write_text(json.dumps(asdict(owner)))
    with serving(Webhook) as address:
        argv = [sys.executable, "-c", SAVE_WEBHOOK, f"{address}/alerts"]
        subprocess.run(argv, env=flow_env(**server.env), check=True)
        name, message = server.run_flow(project, targets=["download@coco"], pull=False, push=False)
    assert name == "Failed"
    [first, second] = Webhook.received
    assert first["subject"] == f"Boxline: pipeline {killed['name']} crashed"
    assert first["text"] == f"Process 77 on here was killed.\nparameters: {{}}\nrun: {killed['id']}"
    assert second["subject"] == f"Boxline: pipeline {server.latest_run()['name']} failed"
    assert second["text"].startswith(f"{message}\nparameters: ")
    httpx.delete(f"{server.api_url}/variables/name/boxline_notify").raise_for_status()


def test_changed_source_is_downloaded_and_its_dependents_are_updated(tmp_path: Path, server: PrefectServer) -> None:
    (tmp_path / "project").mkdir()
    project = make_tiny_project(tmp_path / "project")
    run_dvc(project, "repro", "sample@digits")
    source = Path(shutil.copytree(project / "data/digits/sample", tmp_path / "source"))
    params = tiny_params()
    params["datasets"]["digits"]["source"] = str(source)
    write_params(project, params)
    run_dvc(project, "repro", "tables@digits")
    options = {"targets": ["tables@digits"]}
    assert server.run_flow(project, "watch_sources", **options) == (
        "Skipped",
        "Skipped: no source has changed.",
    )
    csv = source / "MNIST" / "training_data.csv"
    csv.write_text("".join(csv.read_text().splitlines(keepends=True)[:-1]))
    git_remote = tmp_path / "remote.git"
    git(project, "init", "--quiet", "--bare", str(git_remote))
    name, _ = server.run_flow(project, "watch_sources", git_remote=str(git_remote), **options)
    assert name == "Completed"
    assert git(git_remote, "rev-parse", "runs") == git(project, "rev-parse", "runs")
    states = server.task_states(server.latest_run()["id"])
    assert (states["sample@digits"], states["download@digits"], states["tables@digits"]) == (
        "Skipped",
        "Completed",
        "Completed",
    )


def is_running(process_id: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
