"""The image's entry point, called as Spark on Kubernetes calls it, and what a build of the image sends to Docker."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pathspec  # comes with mypy
import pyspark
import pytest
import yaml

from tests.conftest import FAST
from tests.processes import HANG, ROOT, few_lines

ENTRY = ROOT / "infra" / "entrypoint.sh"
DOCKERFILE = (ROOT / "infra" / "Dockerfile").read_text()
# What Spark sets in the environment of an executor's pod.
POD = {
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@driver-svc:7078",
    "SPARK_EXECUTOR_ID": "3",
    "SPARK_EXECUTOR_CORES": "8",
    "SPARK_EXECUTOR_MEMORY": "32768m",
    "SPARK_APPLICATION_ID": "spark-1",
    "SPARK_EXECUTOR_POD_IP": "10.0.0.7",
    "SPARK_EXECUTOR_POD_NAME": "boostqa-exec-3",
    "SPARK_RESOURCE_PROFILE_ID": "1",
}


def entry(*words, **more):
    """Run the entry point in nothing but what the image and Spark set."""
    environment = {"PATH": os.environ["PATH"], "SPARK_HOME": "/opt/spark", "JAVA_HOME": "/nowhere"} | more
    return subprocess.run(
        [str(ENTRY), *words], check=False, env=environment, capture_output=True, text=True, timeout=HANG
    )


def test_executor_is_the_command_of_sparks_backend(tmp_path):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    java.chmod(0o755)
    options = {f"SPARK_JAVA_OPT_{i}": f"-Dnumber={i}" for i in range(11)} | {"SPARK_JAVA_OPT_1": "-Dwords=a b=c"}
    places = {"SPARK_CONF_DIR": "/opt/spark/conf", "SPARK_CLASSPATH": "/own/*", "SPARK_EXTRA_CLASSPATH": "/extra.jar"}
    done = entry("executor", JAVA_HOME=str(tmp_path), **POD, **options, **places)
    words = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert words[:11] == ["-Dnumber=0", "-Dwords=a b=c", *(f"-Dnumber={i}" for i in range(2, 11))]
    assert words[11:15] == ["-Xms32768m", "-Xmx32768m", "-cp", "/opt/spark/conf:/own/*:/opt/spark/jars/*:/extra.jar"]
    assert words[15] == "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
    assert dict(zip(words[16::2], words[17::2], strict=True)) == {
        "--driver-url": "spark://CoarseGrainedScheduler@driver-svc:7078", "--executor-id": "3", "--cores": "8",
        "--app-id": "spark-1", "--hostname": "10.0.0.7", "--resourceProfileId": "1", "--podName": "boostqa-exec-3",
    }  # fmt: skip


def test_executor_that_spark_did_not_start_says_what_it_lacks():
    done = entry("executor", **{name: value for name, value in POD.items() if name != "SPARK_EXECUTOR_ID"})
    assert done.returncode != 0 and "SPARK_EXECUTOR_ID" in done.stderr


def test_the_backend_is_in_the_jars_of_this_pyspark():
    assert list((Path(pyspark.__file__).parent / "jars").glob("spark-kubernetes_*.jar"))


def test_any_other_command_passes_through():
    done = entry("printf", "%s|", "a b", "*")
    assert done.stdout == "a b|*|" and done.returncode == 0
    assert entry("false").returncode == 1


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="only root can become another user")
def test_user_id_without_a_name_gets_one():
    command = [
        "setpriv",
        "--reuid",
        "54321",
        "--regid",
        "54321",
        "--clear-groups",
        "bash",
        "-c",
        ENTRY.read_text(),
        "it",
    ]
    shown = [
        "sh",
        "-c",
        'echo "$LD_PRELOAD"; tail -1 "$NSS_WRAPPER_PASSWD"; rm "$NSS_WRAPPER_PASSWD" "$NSS_WRAPPER_GROUP"',
    ]
    environment = {"PATH": os.environ["PATH"], "SPARK_HOME": "/opt/spark"}
    done = subprocess.run([*command, *shown], check=False, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["libnss_wrapper.so", "boostqa:x:54321:54321:BoostQA:/tmp:/bin/false"], (
        done.stderr
    )
    assert "libnss-wrapper" in DOCKERFILE


@pytest.mark.cluster
def test_driver_finishes_a_stage_of_the_wheel_with_the_settings_of_the_application(user, site, tmp_path):
    folder, environment = user
    few_lines(folder)
    spec = yaml.safe_load((ROOT / "infra" / "spark-application.yaml").read_text())["spec"]
    settings = {k: v for k, v in spec["sparkConf"].items() if ".gpu." not in k and ".s3a." not in k}
    jars = ",".join(jar.as_uri() for jar in ROOT.glob(".cache/ivy/*/jars/*.jar"))  # in the image they are among Spark's
    settings |= {"spark.master": "local[1]", "spark.jars": jars, "spark.ui.enabled": "false", **FAST}
    properties = tmp_path / "spark.properties"
    properties.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    words = ["--properties-file", str(properties), "--class", "org.apache.spark.deploy.PythonRunner"]
    words += [f"local://{site}/boostqa/jobs/01_seed.py", "--config", "few.yaml"]
    home = str(Path(pyspark.__file__).parent)
    image = {"SPARK_HOME": home, "SPARK_DRIVER_BIND_ADDRESS": "127.0.0.1", "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(
        [str(ENTRY), "driver", *words], check=False, cwd=folder, env=environment | image | {"LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=2 * HANG,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert list((folder / "warehouse" / "demo" / "seed").glob("*.parquet"))
    assert re.search(r"[1-9]\d* kept", done.stdout)


def ignored():
    # Patterns that begin with a slash mean the same to Docker as to git.
    return pathspec.GitIgnoreSpec.from_lines((ROOT / ".dockerignore").read_text().splitlines())


def context():
    """Files of a checkout that a build sends: what .dockerignore does not name. Its exceptions are names at the top."""
    spec = ignored()
    for entry in ROOT.iterdir():
        files = [entry] if entry.is_file() else entry.rglob("*")
        if not spec.match_file(entry.name):
            yield from (f for f in files if f.is_file() and not spec.match_file(str(f.relative_to(ROOT))))


def test_build_context_is_small_and_holds_what_the_image_is_made_of():
    files = {str(f.relative_to(ROOT)): f.stat().st_size for f in context()}
    assert sum(files.values()) < 5_000_000
    copied = [path for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()]
    read = [*re.findall(r"--(?:override|constraint) (\S+)", DOCKERFILE), "pyproject.toml", "README.md", "LICENSE"]
    assert copied and all(any(f == path or f.startswith(f"{path}/") for f in files) for path in copied + read)
    for unwanted in (
        ".venv/bin/python",
        ".git/config",
        ".cache/models/x",
        "warehouse/demo/seed/x",
        "tests/rows.py",
        ".env",
    ):
        assert ignored().match_file(unwanted)


def test_dockerfile_ends_in_the_entry_point_as_a_user_that_is_not_root():
    copied = re.search(r"^COPY (infra/entrypoint\.sh .*) infra/$", DOCKERFILE, re.MULTILINE)[1].split()
    start = re.search(r'^ENTRYPOINT \["/usr/bin/tini", "-s", "--", "/opt/boostqa/(\S+)"\]$', DOCKERFILE, re.MULTILINE)[
        1
    ]
    assert start in copied and all(os.access(ROOT / f, os.X_OK) for f in copied if f.endswith(".sh"))
    assert int(re.search(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[1]) > 0
    assert {"tini", "openjdk-17-jre-headless"} <= set(DOCKERFILE.split())
    assert all(f"{name}=" in DOCKERFILE for name in ("SPARK_HOME", "JAVA_HOME", "PYSPARK_PYTHON"))
