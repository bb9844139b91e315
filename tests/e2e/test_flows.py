"""Flows on a small project, with a real DVC and a real Prefect server."""

import base64
import io
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import httpx
import psutil
import pytest
from PIL import Image

from flows.workspace import Holder
from tests.support.mini_project import faults, flow_environment, flow_words, git, make_mini_project, run_flow
from tests.support.prefect_server import PrefectServer
from tests.support.servers import serving
from tests.support.tiny_project import make_tiny_project, run_dvc, tiny_params, write_params

pytestmark = pytest.mark.slow

ORDER = [
    "download@coco",
    "download@digits",
    "validate@coco",
    "train@coco_yolo",
    "train@digits_localizer",
    "evaluate@coco_yolo",
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_mini_project(tmp_path / "project")


def run(project: Path, server: PrefectServer, **parameters: object) -> tuple[str, str]:
    return run_flow(project, variables=server.variables, **parameters)


def artifacts(server: PrefectServer, flow_run_id: str) -> dict[str, dict[str, object]]:
    found = server.ask("artifacts/filter", flow_runs={"id": {"any_": [flow_run_id]}})
    return {one["key"]: one for one in found}


def test_a_run_does_what_dvc_would_and_shows_what_came_of_it(project: Path, server: PrefectServer) -> None:
    assert run(project, server) == ("Completed", "Up to date: 9 steps done, 1 skipped.")
    assert run_dvc(project, "status").stdout == "Data and pipelines are up to date.\n"
    latest = server.flow_runs()[0]
    states = server.task_states(latest["id"])
    assert states == {**dict.fromkeys(["parameters", *ORDER, "push", "record"], "Completed"), "pull": "Skipped"}
    commit = git(project, "rev-parse", "--short", "main")
    assert sorted(latest["tags"]) == [
        f"commit:{commit}", "dataset:coco", "dataset:digits", "system:coco_yolo", "system:digits_localizer"
    ]  # fmt: skip
    shown = artifacts(server, latest["id"])
    assert json.loads(str(shown["metrics-coco-yolo"]["data"])) == [
        {"metric": "AP", "score": 0.25, "baseline": 0.01, "oracle": 0.9, "last run": None, "change": None}
    ]
    address = str(shown["predictions-coco-yolo"]["data"])
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        assert picture.size == (60, 40)
    assert f"file://{project}/reports/coco_yolo" in str(shown["report-coco-yolo"]["data"])

    # And again: DVC finds nothing to do, and says why.
    assert run(project, server) == ("Completed", "Up to date: 3 steps done, 7 skipped.")
    again = server.flow_runs()[0]
    states = server.task_states(again["id"])
    assert {states[name] for name in ORDER} == {"Skipped"}
    tasks = server.ask("task_runs/filter", flow_runs={"id": {"any_": [again["id"]]}})
    messages = {task["state"]["message"] for task in tasks if task["name"] in ORDER}
    assert messages == {"Skipped: nothing that it depends on has changed."}
    [row] = json.loads(str(artifacts(server, again["id"])["metrics-coco-yolo"]["data"]))
    assert (row["last run"], row["change"]) == (0.25, 0)
    assert git(project, "log", "--format=%s", "main") == "mini"
    assert git(project, "status", "--porcelain") == "?? dvc.lock"
    record = json.loads(git(project, "show", "runs:run.json"))
    assert record["flow_run"] == again["id"]


def test_a_failure_that_may_pass_is_tried_again(project: Path, server: PrefectServer) -> None:
    faults(project, "download@coco", "75", "75")
    name, _ = run(project, server, targets=["download@coco"], push=False)
    assert name == "Completed"
    assert attempts(server) == {"parameters": 1, "pull": 1, "download@coco": 3, "record": 1}


def attempts(server: PrefectServer) -> dict[str, int]:
    """Of the latest run: how often each task was tried."""
    tasks = server.ask("task_runs/filter", flow_runs={"id": {"any_": [server.flow_runs()[0]["id"]]}})
    return {task["name"]: task["run_count"] for task in tasks}


def test_bad_data_is_not_tried_again_and_its_report_is_shown(project: Path, server: PrefectServer) -> None:
    faults(project, "validate@coco", "1")
    name, message = run(project, server, targets=["evaluate", "train"])
    assert name == "Failed"
    log = project / ".dvc/tmp/boxline/logs" / server.flow_runs()[0]["id"] / "validate@coco.log"
    assert message == (
        "validate@coco: data or parameters. Error: validate@coco fails as it was told to "
        f"(all that it said: {log}) "
        "Not run after that: train@coco_yolo, evaluate@coco_yolo, train@digits_localizer."
    )
    assert log.read_text().startswith("Running stage 'validate@coco':\n")
    assert attempts(server)["validate@coco"] == 1
    states = server.task_states(server.flow_runs()[0]["id"])
    assert (states["download@digits"], states["train@coco_yolo"], states["push"]) == (
        "Completed",
        "NotReady",
        "Completed",
    )
    shown = artifacts(server, server.flow_runs()[0]["id"])
    assert shown["validate-coco"]["data"] == "# coco\n\n3 of 9 rows are in quarantine"


def test_out_of_memory_halves_the_batch_once(project: Path, server: PrefectServer) -> None:
    faults(project, "train@coco_yolo", "12")
    before = (project / "params.yaml").read_text()
    name, _ = run(project, server, targets=["train@coco_yolo"], pull=False, push=False)
    assert name == "Completed"
    assert attempts(server)["train@coco_yolo"] == 2
    lock = (project / "dvc.lock").read_text()
    assert "systems.coco_yolo.train.batch_size: 8" in lock
    assert (project / "params.yaml").read_text() == before
    assert "batch_size: 8" in git(project, "show", "runs:params.yaml")

    faults(project, "train@digits_localizer", "12", "12")
    name, message = run(project, server, targets=["train@digits_localizer"], pull=False, push=False)
    assert (name, message.partition(".")[0]) == ("Failed", "train@digits_localizer: out of memory")
    assert attempts(server)["train@digits_localizer"] == 2


def test_overrides_last_as_long_as_the_run(project: Path, server: PrefectServer) -> None:
    before = (project / "params.yaml").read_text()
    options = {"targets": ["train@coco_yolo"], "pull": False, "push": False}
    name, _ = run(project, server, overrides=["systems.coco_yolo.train.batch_size=4"], **options)
    assert name == "Completed"
    assert "systems.coco_yolo.train.batch_size: 4" in (project / "dvc.lock").read_text()
    assert (project / "params.yaml").read_text() == before
    for overrides, message in {
        "systems.coco_yolo.nothing=4": "overrides: systems.coco_yolo.nothing=4: ",
        "systems.coco_yolo.train.batch_size=no": "parameters: data or parameters. Error: params.yaml: "
        "systems.coco_yolo.train.batch_size: received 'no', expected",
    }.items():
        name, said = run(project, server, overrides=[overrides], **options)
        assert (name, said[: len(message)]) == ("Failed", message)
        assert (project / "params.yaml").read_text() == before
    assert run(project, server, targets=["nonsense"]) == (
        "Failed",
        "targets: nonsense is no stage of dvc.yaml; expected download, evaluate, train, validate.",
    )
    assert run(project, server, targets=["download@coco"], force=["train"]) == (
        "Failed",
        "force: train is none of the stages that run: download@coco.",
    )


def test_what_is_forced_runs_although_nothing_has_changed(project: Path, server: PrefectServer) -> None:
    options = {"targets": ["validate@coco"], "pull": False, "push": False}
    run(project, server, **options)
    run(project, server, force=["download@coco"], **options)
    states = server.task_states(server.flow_runs()[0]["id"])
    assert (states["download@coco"], states["validate@coco"]) == ("Completed", "Skipped")


def test_a_second_run_is_skipped_and_one_that_hangs_is_ended(project: Path, server: PrefectServer) -> None:
    faults(project, "download@coco", "hang")
    options = {"targets": ["download@coco"], "pull": False, "push": False}
    first = subprocess.Popen(
        flow_words("pipeline", {**options, "time_limits_minutes": {"download": 0.15}}),
        cwd=project,
        env=flow_environment(**server.variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    while not (project / "hanging").exists():
        assert first.poll() is None
    holder = server.flow_runs()[0]["name"]
    name, message = run(project, server, **options)
    assert name == "Skipped"
    assert message.startswith(f"Skipped: the workspace is held by {holder} (process {first.pid} on ")
    said, _ = first.communicate()
    name, message = json.loads(said.splitlines()[-1])
    assert name == "Failed"
    assert message.startswith(
        "download@coco: took too long. It was ended with everything that it had started (all that it said: "
    )
    assert not lives(int((project / "hanging").read_text()))
    [hung] = [one for one in server.flow_runs() if one["name"] == holder]
    progress = artifacts(server, hung["id"])["progress-download-coco"]
    assert progress["description"] == "download@coco: images, 1 of 4"


class Alerts(BaseHTTPRequestHandler):
    received: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_a_webhook_is_told_of_a_failure_and_of_the_run_before_that_was_killed(
    project: Path, server: PrefectServer
) -> None:
    save = (
        "import sys; from prefect.blocks.webhook import Webhook; from prefect.variables import Variable; "
        "Webhook(url=sys.argv[1], allow_private_urls=True).save('alerts'); "
        "Variable.set('boxline_notify', 'webhook/alerts')"
    )
    faults(project, "download@coco", "1")
    flow = server.ask("flows/", name="pipeline")["id"]
    killed = server.ask("flow_runs/", flow_id=flow, state={"type": "RUNNING"})
    holder = Holder(killed["id"], killed["name"], "here", 77, "2026-11-21T18:45:02Z")
    state = project / ".dvc/tmp/boxline"
    state.mkdir(parents=True)
    (state / "holder.json").write_text(json.dumps(asdict(holder)))
    with serving(Alerts) as address:
        words = [sys.executable, "-c", save, f"{address}/alerts"]
        subprocess.run(words, env=flow_environment(**server.variables), check=True)
        name, message = run(project, server, targets=["download@coco"], pull=False, push=False)
    assert name == "Failed"
    [first, second] = Alerts.received
    assert first["subject"] == f"Boxline: pipeline {killed['name']} crashed"
    assert first["text"] == f"Its process 77 on here was killed.\nparameters: {{}}\nrun: {killed['id']}"
    run_name = server.flow_runs()[0]["name"]
    assert second["subject"] == f"Boxline: pipeline {run_name} failed"
    assert second["text"].startswith(f"{message}\nparameters: ")
    httpx.delete(f"{server.variables['PREFECT_API_URL']}/variables/name/boxline_notify").raise_for_status()


def test_a_source_that_has_changed_is_downloaded_and_what_depends_on_it_follows(
    tmp_path: Path, server: PrefectServer
) -> None:
    (tmp_path / "project").mkdir()
    project = make_tiny_project(tmp_path / "project")
    run_dvc(project, "repro", "sample@digits")
    mirror = Path(shutil.copytree(project / "data/digits/sample", tmp_path / "mirror"))
    params = tiny_params()
    params["datasets"]["digits"]["source"] = str(mirror)
    write_params(project, params)
    options = {"targets": ["tables@digits"]}
    done = "Up to date: 5 steps done, 0 skipped."
    assert run(project, server, pull=False, push=False, **options) == ("Completed", done)
    assert run_flow(project, "upstream", server.variables, **options) == (
        "Skipped",
        "Skipped: no source has changed.",
    )
    csv = mirror / "MNIST" / "training_data.csv"
    csv.write_text("".join(csv.read_text().splitlines(keepends=True)[:-1]))
    shared = tmp_path / "shared.git"
    git(project, "init", "--quiet", "--bare", str(shared))
    assert run_flow(project, "upstream", server.variables, git_remote=str(shared), **options)[0] == "Completed"
    assert git(shared, "rev-parse", "runs") == git(project, "rev-parse", "runs")
    states = server.task_states(server.flow_runs()[0]["id"])
    assert (states["sample@digits"], states["download@digits"], states["tables@digits"]) == (
        "Skipped",
        "Completed",
        "Completed",
    )


def lives(process_id: int) -> bool:
    """Zombies do not: nobody has counted them yet."""
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
