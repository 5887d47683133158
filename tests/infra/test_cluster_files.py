"""The files for Kubernetes and Databricks: valid, agreed with conf/cluster.yaml, the image and the code, and placeable."""

import os
import re
import tomllib
from types import SimpleNamespace

import kubeflow_spark_api.models as operator
import pytest
import typer
import yaml
from databricks.bundles.jobs import Job

from boostqa import __version__, cli, config
from boostqa.calls.placement import profile, refuse_speculation
from boostqa.errors import ConfigError
from boostqa.session import _properties
from boostqa.vocabulary import STAGES
from tests.processes import ROOT
from udfs.engines.client import gpus_needed

APPLICATION = yaml.safe_load((ROOT / "infra" / "spark-application.yaml").read_text())
SPEC = APPLICATION["spec"]
BUNDLE = yaml.safe_load((ROOT / "infra" / "databricks.yml").read_text())
JOB = BUNDLE["resources"]["jobs"]["boostqa"]
CONF = ROOT / "conf" / "cluster.yaml"
PINS = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "infra" / "constraints.txt").read_text(), re.MULTILINE))
DOCKERFILE = (ROOT / "infra" / "Dockerfile").read_text()
VARIABLES = {name: str(about["default"]) for name, about in BUNDLE["variables"].items()}
ASKS_MODELS = {"annotate", "probe", "synthesize", "refine"}  # clean only where the conf names a student or fluency
TASK, EXECUTOR = "spark.task.resource.gpu.amount", "spark.executor.resource.gpu.amount"


def filled(value):
    """With the defaults of the bundle's variables."""
    while isinstance(value, str) and "${var." in value:
        value = re.sub(r"\$\{var\.(\w+)\}", lambda name: VARIABLES[name[1]], value)
    return value


def clusters():
    return {c["job_cluster_key"]: c["new_cluster"] for c in JOB["job_clusters"]}


def of_kubernetes():
    """Environment of the driver, Spark's settings, executors."""
    places = {v["name"]: v["value"] for v in SPEC["driver"]["env"]}
    return places, SPEC["sparkConf"] | {"spark.master": "k8s://somewhere"}, SPEC["executor"]["instances"]


def of_databricks():
    gpu = clusters()["gpu"]
    places = {name: filled(value) for name, value in gpu["spark_env_vars"].items()}
    settings = {name: filled(value) for name, value in gpu["spark_conf"].items()}
    # The platform gives an executor all GPUs of its node.
    return places, settings | {EXECUTOR: VARIABLES["gpus"], "spark.master": "spark://it"}, int(VARIABLES["gpu_nodes"])


def load(places, monkeypatch, *settings):
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    return config.load(str(CONF), settings)


def place_all(conf, settings):
    """The product's own check, of every model that an engine may be started for."""
    spark = SimpleNamespace(conf=SimpleNamespace(get=lambda key, default=None: settings.get(key, default)))
    refuse_speculation(spark)
    for model in [conf.role(role) for role in ("generator", "annotator", "refiner")] + list(conf.checkpoints()):
        profile(spark, conf.generation, conf.engine_for(model))


@pytest.mark.parametrize("platform", [of_kubernetes, of_databricks])
def test_conf_is_placed_on_the_gpus_that_the_file_gives(platform, monkeypatch):
    places, settings, executors = platform()
    conf = load(places, monkeypatch)
    place_all(conf, settings)
    gpus = int(settings[EXECUTOR]) * executors
    assert conf.generation.engines == gpus // gpus_needed(conf.engine_for(conf.role("generator")).model_dump())
    with pytest.raises(ConfigError, match="GPU"):
        place_all(load(places, monkeypatch, "engine.tensor_parallel_size=4"), settings)


@pytest.mark.parametrize("platform", [of_kubernetes, of_databricks])
def test_the_file_sets_the_variables_that_the_conf_names(platform):
    named = set(re.findall(r"\$\{(\w+)\}", CONF.read_text()))
    places, _, _ = platform()
    assert {name for name in places if name.startswith("BOOSTQA_")} - {"BOOSTQA_CACHE"} == named
    assert 'environ.get("BOOSTQA_CACHE"' in (ROOT / "boostqa" / "__init__.py").read_text()


def test_application_is_a_spark_application_of_the_operator():
    # What its models do not know they leave out, and what has another type they refuse.
    assert operator.SparkV1beta2SparkApplication.from_dict(APPLICATION).to_dict() == APPLICATION


def test_application_names_what_is_in_the_image_and_the_conf(monkeypatch):
    copied = [path for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()]
    for place in (
        SPEC["mainApplicationFile"].removeprefix("local://"),
        SPEC["sparkConf"][f"{EXECUTOR[:-6]}discoveryScript"],
    ):
        file = place.removeprefix("/opt/boostqa/")
        assert (ROOT / file).is_file() and any(file == c or file.startswith(f"{c}/") for c in copied)
    assert os.access(ROOT / "infra" / "gpus.sh", os.X_OK)
    assert SPEC["sparkVersion"] == PINS["pyspark"] and SPEC["image"].endswith(f":{__version__}")
    flags = dict(zip(SPEC["arguments"][::2], SPEC["arguments"][1::2], strict=True))
    assert flags["--round"] in [r.name for r in load(of_kubernetes()[0], monkeypatch).rounds]
    mounts = {m["name"]: m["mountPath"] for m in SPEC["driver"]["volumeMounts"]}
    assert flags["--config"] == f"{mounts['conf']}/{CONF.name}"


def test_application_mounts_what_it_declares_and_takes_secrets_by_reference():
    volumes = {v["name"]: v for v in SPEC["volumes"]}
    mounts = [m for pod in ("driver", "executor") for m in SPEC[pod]["volumeMounts"]]
    assert {m["name"] for m in mounts} == volumes.keys()
    executor = {m["mountPath"]: m["name"] for m in SPEC["executor"]["volumeMounts"]}
    places = of_kubernetes()[0]
    assert volumes[executor["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
    assert {places["HF_HOME"], places["BOOSTQA_CHECKPOINTS"]} <= executor.keys()
    assert SPEC["executor"]["env"] == SPEC["driver"]["env"] and SPEC["driver"]["serviceAccount"]
    assert not [name for name in places if re.search("KEY|TOKEN|SECRET", name)]
    assert "HF_TOKEN" in SPEC["executor"]["envSecretKeyRefs"]


def test_application_has_the_settings_of_spark_conf_less_what_the_image_brings():
    needed = {k: v for k, v in _properties(ROOT / "conf" / "spark.conf").items() if not k.startswith("spark.jars.")}
    assert needed.items() <= SPEC["sparkConf"].items() and "deps" not in SPEC
    assert "infra/jars.py /opt/spark/jars" in DOCKERFILE


def test_bundle_is_a_job_of_databricks_with_a_task_for_each_stage():
    job = Job.from_dict(JOB)  # refuses fields that it does not know
    assert [task.task_key for task in job.tasks] == [*STAGES, "report"]
    after = {t.task_key: [d.task_key for d in t.depends_on] for t in job.tasks}
    assert after == dict(zip(after, [[], *([stage] for stage in STAGES)], strict=True))
    on_gpus = {t.task_key for t in job.tasks if t.job_cluster_key == "gpu"}
    assert on_gpus == ASKS_MODELS and {t.job_cluster_key for t in job.tasks} == clusters().keys()
    for task in job.tasks[:-1]:
        assert (task.max_retries > 0) == (task.task_key != "gate")
        pins = [library.pypi.package for library in task.libraries if library.pypi]
        assert pins == ([f"vllm=={PINS['vllm']}"] if task.task_key in ASKS_MODELS else [])


def test_tasks_of_the_bundle_are_commands_of_the_wheel(monkeypatch):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rounds = [r.name for r in load(of_databricks()[0], monkeypatch).rounds]
    assert {p["name"]: p["default"] in rounds for p in JOB["parameters"]} == {"round": True}
    command = typer.main.get_command(cli.app).commands["run"]
    for task in JOB["tasks"][:-1]:
        wheel = task["python_wheel_task"]
        assert wheel["package_name"] == project["name"] and wheel["entry_point"] in project["scripts"]
        known = {"{{task.name}}": task["task_key"], "{{job.parameters.round}}": "pilot"}
        name, *words = [filled(known.get(word, word)) for word in wheel["parameters"]]
        given = command.make_context(name, words).params  # refuses options that there are not
        assert name == "run" and given["first"] == given["last"] == task["task_key"] and given["in_round"] == "pilot"
        assert given["config"] == f"/Volumes/main/boostqa/files/conf/{CONF.name}"


def test_bundle_names_what_there_is():
    text = (ROOT / "infra" / "databricks.yml").read_text()
    assert set(re.findall(r"\$\{var\.(\w+)\}", text)) == VARIABLES.keys()
    assert {name for target in BUNDLE["targets"].values() for name in target.get("variables", {})} <= VARIABLES.keys()
    built = BUNDLE["artifacts"]["boostqa"]
    out = re.search(r"--out-dir (\S+)", built["build"])[1]
    globs = {lib["whl"] for task in JOB["tasks"] for lib in task["libraries"] if "whl" in lib}
    assert globs == {f"{built['path']}/{out}/*.whl"} and (ROOT / "infra" / built["path"] / "pyproject.toml").is_file()
    notebook = JOB["tasks"][-1]["notebook_task"]["notebook_path"]
    assert (ROOT / "infra" / notebook).read_text().startswith("# Databricks notebook source")
    assert all((ROOT / "infra" / path).is_dir() for path in BUNDLE["sync"]["paths"])
    assert any(notebook.startswith(path) for path in BUNDLE["sync"]["paths"])


def test_bundle_runs_on_the_spark_that_the_tests_run_on_and_keeps_secrets_by_reference():
    # Databricks Runtime 18 is Spark 4.1; 17.3 is 4.0, 19 is 4.2 (release notes of the runtimes).
    assert PINS["pyspark"].startswith("4.1.")
    for cluster in clusters().values():
        assert cluster["spark_version"].startswith("18.") and cluster["spark_version"].endswith("scala2.13")
        assert cluster["data_security_mode"] == "DATA_SECURITY_MODE_DEDICATED"
        secrets = {k: v for k, v in cluster["spark_env_vars"].items() if re.search("KEY|TOKEN|SECRET", k)}
        assert secrets and all(re.fullmatch(r"\{\{secrets/\w+/\w+\}\}", value) for value in secrets.values())
    assert "gpu-ml" in clusters()["gpu"]["spark_version"]
    assert [(t["mode"], t.get("default", False)) for t in BUNDLE["targets"].values()] == [
        ("development", True),
        ("production", False),
    ]
