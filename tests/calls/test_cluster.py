"""Two engines on a real standalone cluster on loopback, each worker with a declared GPU of its own address."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from tests.processes import DEMO, HANG, ROOT, free_port, hosts, wait_until


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
        wait_until(lambda: (tmp_path / "master.Master.log").read_text().count("Registering worker") == 2)
        yield url
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.cluster
def test_two_workers_of_a_standalone_cluster_run_an_engine_each_on_its_own_gpu(cluster, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"TMPDIR": str(tmp_path)}
    app = [sys.executable, str(ROOT / "tests" / "calls" / "standalone_app.py"), cluster, str(tmp_path / "warehouse")]
    done = subprocess.run(app, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=2 * HANG)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert sorted(e["gpus"] for e in found["engines"]) == ["3", "5"]  # AQE left both partitions, each had its worker
    assert all(e["completed"] == 12 and e["engine_starts"] == 1 for e in found["engines"])
    assert sorted(found["cuda_visible_devices"]) == ["3", "5"]
    assert found["starts_of_second_call"] == 0
    # The application ended, and so do its engines.
    wait_until(lambda: not hosts(tmp_path))


@pytest.mark.cluster
def test_job_under_spark_submit_ends_with_one_message_and_an_exit_code(tmp_path):
    """A job as a scheduler starts it: spark-submit, the properties file, the job's own file."""
    jars = ",".join(map(str, (ROOT / ".cache" / "ivy").glob("*/jars/*.jar")))  # resolved by make setup
    submit = [str(Path(sys.executable).with_name("spark-submit")), "--master", "local[1]", "--jars", jars]
    submit += ["--properties-file", "conf/spark.conf", "--conf", "spark.jars.packages=", "jobs/04_plan.py"]
    job = ["--config", DEMO, "--set", f"warehouse={tmp_path}/w"]
    environment = os.environ | {
        "LC_ALL": "C.UTF-8",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }
    done = subprocess.run(
        [*submit, *job], check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG
    )
    shown = done.stdout + done.stderr  # spark-submit sends what a Python application prints to its standard output
    assert done.returncode == 2, shown[-4000:]
    assert "ConfigError: stage plan would build on what is not current: seed: it never ran here" in shown
    assert "Traceback" not in shown
