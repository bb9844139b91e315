"""The overhead of Prefect: a flow compared with `dvc repro`, on stages that do nothing."""

import tempfile
from pathlib import Path

from benchmarks.timing import seconds
from tests.support.mini_project import make_mini_project, run_flow
from tests.support.prefect_server import PrefectServer, prefect_server
from tests.support.tiny_project import run_dvc

FEW, MANY = 2, 12
STAGE = """
  empty{number}:
    cmd: echo {number} > {number}.txt
    outs: [{number}.txt]
"""


def flow_benchmark() -> dict[str, float]:
    """Seconds of both for many stages; the overhead per stage and per run follows from the difference to few stages."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with prefect_server(folder) as server:
            few, many = _both(folder, server, FEW), _both(folder, server, MANY)
    added_per_stage = ((many[1] - many[0]) - (few[1] - few[0])) / (MANY - FEW)
    return {
        "slow_seconds": many[1],
        "fast_seconds": many[0],
        "ratio": many[1] / many[0],
        "added_seconds_per_stage": added_per_stage,
        "added_seconds_per_run": few[1] - few[0] - FEW * added_per_stage,
    }


def _both(folder: Path, server: PrefectServer, stages: int) -> tuple[float, float]:
    """Seconds of `dvc repro` and of the flow, each in a new project, one stage at a time like DVC."""
    dvc, flow = (make_mini_project(folder / f"{name}{stages}") for name in ("dvc", "flow"))
    for project in (dvc, flow):
        (project / "dvc.yaml").write_text(
            "stages:" + "".join(STAGE.format(number=number) for number in range(stages)), encoding="utf-8"
        )
    options = {"pull": False, "push": False, "max_parallel_stages": 1}
    return (
        seconds(lambda: run_dvc(dvc, "repro")),
        seconds(lambda: run_flow(flow, env=server.env, **options)),
    )
