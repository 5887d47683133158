"""placement: which profile a generation stage asks for; and two engines on a real standalone cluster with declared GPUs."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pyspark
import pytest

from boostqa.config import Engine, Executors, Generation
from boostqa.errors import ConfigError
from boostqa.placement import profile
from udfs.engines.client import _host

ROOT = Path(__file__).parents[1]
MODEL = ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct"
TASK, EXECUTOR = "spark.task.resource.gpu.amount", "spark.executor.resource.gpu.amount"


def session(**settings):
    conf = {"spark.master": "spark://here:7077"} | {key.replace("_", "."): value for key, value in settings.items()}
    return SimpleNamespace(conf=SimpleNamespace(get=lambda key, default=None: conf.get(key, default)))


def gpus(spark, tensor_parallel_size=1, **generation):
    return profile(spark, Generation(**generation), Engine(tensor_parallel_size=tensor_parallel_size))


def test_tasks_without_gpus_need_no_profile():
    assert gpus(session()) is None
    assert gpus(session(spark_master="local[2]")) is None


def test_conf_that_gives_every_task_its_gpus_decides():
    assert gpus(session(**{EXECUTOR: "4", TASK: "2"}), tensor_parallel_size=2) is None


@pytest.mark.parametrize(
    ("settings", "tensor_parallel_size", "says"),
    [
        ({TASK: "0.5"}, 1, "spark.task.resource.gpu.amount=0.5: several engines would share a GPU"),
        ({EXECUTOR: "2"}, 4, "an engine needs 4 GPUs .* an executor has 2: the stage would wait forever"),
        ({EXECUTOR: "4", TASK: "1"}, 2, "spark.task.resource.gpu.amount=1, but an engine needs 2"),
        ({"spark.speculation": "true"}, 1, "pays for its tokens twice"),
    ],
)
def test_placement_that_cannot_work_is_refused_with_an_explanation(settings, tensor_parallel_size, says):
    with pytest.raises(ConfigError, match=says):
        gpus(session(**settings), tensor_parallel_size)


def test_own_executors_need_dynamic_allocation():
    with pytest.raises(ConfigError, match=r"needs spark\.dynamicAllocation\.enabled=true"):
        gpus(session(), executors=Executors(gpus=8))


def test_profile_asks_for_the_engines_gpus_and_for_own_executors(spark):
    tasks = gpus(session(**{EXECUTOR: "8"}), tensor_parallel_size=4)
    assert tasks.taskResources["gpu"].amount == 4 and tasks.executorResources == {}
    own = gpus(session(**{"spark.dynamicAllocation.enabled": "true"}), executors=Executors(gpus=8, cores=6))
    assert own.taskResources["gpu"].amount == 1
    assert own.executorResources["gpu"].amount == 8 and own.executorResources["cores"].amount == 6


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    """A standalone cluster on loopback: a master and two workers, each with one declared GPU of its own address."""
    home, port = Path(pyspark.__file__).parent, free_port()
    url, started = f"spark://127.0.0.1:{port}", []

    def start(name, *words, **more):
        environment = (
            os.environ | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "TMPDIR": str(tmp_path)} | more
        )
        command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", "--host", "127.0.0.1", *words]
        log = open(tmp_path / f"{name}.log", "a")  # noqa: SIM115
        started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))

    try:
        start("master.Master", "--port", str(port), "--webui-port", str(free_port()))
        for address in ("3", "5"):
            script = tmp_path / f"gpu{address}.sh"
            script.write_text(f'#!/bin/sh\necho \'{{"name": "gpu", "addresses": ["{address}"]}}\'\n')
            script.chmod(0o755)
            options = f"-Dspark.worker.resource.gpu.amount=1 -Dspark.worker.resource.gpu.discoveryScript={script}"
            folder = str(tmp_path / f"worker{address}")
            words = ["-c", "1", "-m", "1g", "-d", folder, "--webui-port", str(free_port()), url]
            start("worker.Worker", *words, SPARK_WORKER_OPTS=options)
        deadline = time.monotonic() + 60
        while (tmp_path / "master.Master.log").read_text().count("Registering worker") < 2:
            assert time.monotonic() < deadline, (tmp_path / "worker.Worker.log").read_text()[-3000:]
            time.sleep(0.2)
        yield url
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.engine
def test_two_workers_of_a_standalone_cluster_run_an_engine_each_on_its_own_gpu(cluster, tmp_path):
    if not (MODEL / "config.json").exists():
        pytest.skip(f"no demo model in {MODEL}: make setup")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"TMPDIR": str(tmp_path)}
    app = [sys.executable, str(ROOT / "tests" / "standalone_app.py"), cluster, str(tmp_path / "warehouse")]
    done = subprocess.run(app, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert sorted(e["gpus"] for e in found["engines"]) == ["3", "5"]  # AQE left both partitions, each had its worker
    assert all(e["completed"] == 12 and e["engine_starts"] == 1 for e in found["engines"])
    assert sorted(found["cuda_visible_devices"]) == ["3", "5"]
    assert found["starts_of_second_call"] == 0
    deadline = time.monotonic() + 30
    while any(_host(file) for file in tmp_path.glob("boostqa-*/*.pid")):  # the application ended, and so do its engines
        assert time.monotonic() < deadline
        time.sleep(0.2)
