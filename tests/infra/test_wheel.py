"""The wheel: what it holds, that it works where nothing else lies, and what it resolves to."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from boostqa import basis
from boostqa.vocabulary import STAGES
from tests.processes import ROOT

UV = Path(sys.executable).with_name("uv")
SUFFIXES = (".py", ".json", ".yaml", ".csv", ".tsv", ".txt")
AWAY = r"error sending request|dns error|Could not connect|timed out|Failed to fetch|client error|network"
# What a user does first, in one process.
FIRST_STEPS = """
import json, sys
from typer.testing import CliRunner
from boostqa import __file__ as where, basis, cli, config, prompts, taxonomy
from boostqa.freshness import declared
from boostqa.vocabulary import STAGES

helps = [CliRunner().invoke(cli.app, words).output for words in (["--help"], ["plan", "--help"])]
jobs = {stage: declared(stage)["main"].__module__ for stage in STAGES}
code = basis._files((*basis._CODE, *basis._MORE_CODE["mix"], *(str(basis.job_file(s).relative_to(basis._PACKAGES)) for s in STAGES)),
                    (".py", ".json", ".yaml", ".csv", ".tsv", ".txt"))
print(json.dumps({"where": where, "helps": helps, "jobs": list(jobs), "prompts": len(prompts.names()), "code": code,
                  "generator": config.load("mine.yaml").model.generator.id,
                  "modules": sorted(m for m in sys.modules if m.startswith(("udfs", "boostqa_udfs")))}))
"""


def test_wheel_holds_two_packages_of_its_own_name_and_all_that_they_read(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"boostqa", "boostqa_udfs"}
    here = [f for folder in ("boostqa", "udfs", "jobs", "conf") for f in (ROOT / folder).rglob("*") if f.is_file()]
    assert len([n for n in names if ".dist-info/" not in n]) == len([f for f in here if "__pycache__" not in f.parts])


def test_wheel_works_in_an_empty_folder_beside_the_udfs_of_somebody_else(user, site):
    folder, environment = user

    def python(*words):
        done = subprocess.run(
            [sys.executable, *words], check=False, cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    assert "boostqa run --config mine.yaml" in python("-m", "boostqa", "init", "mine.yaml")
    found = json.loads(python("-c", FIRST_STEPS))
    assert found["where"].startswith(str(site)) and found["jobs"] == list(STAGES) and found["prompts"] > 0
    assert "quarantine" in found["helps"][0] and "--why" in found["helps"][1]
    assert found["generator"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert found["modules"] and all(name.startswith("boostqa_udfs") for name in found["modules"])
    # Tables that a checkout made are current for the wheel, and the other way.
    jobs = (str(basis.job_file(stage).relative_to(ROOT)) for stage in STAGES)
    assert found["code"] == basis._files((*basis._CODE, *basis._MORE_CODE["mix"], *jobs), SUFFIXES)


def test_without_spark_the_command_says_what_to_install(user):
    folder, environment = user
    hidden = "import sys; sys.modules['pyspark'] = None\nfrom boostqa.__main__ import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", hidden], check=False, cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and "install boostqa[spark]" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("extra", ["", "[spark]"])
def test_wheel_resolves_to_what_works_on_python_3_11_and_newer(wheel, extra):
    command = [
        str(UV),
        "pip",
        "compile",
        "-",
        "--universal",
        "--python-version",
        "3.11",
        "--no-header",
        "--no-annotate",
    ]
    done = subprocess.run(
        [*command, "--quiet"], check=False, input=f"boostqa{extra} @ {wheel.as_uri()}", capture_output=True, text=True
    )
    if done.returncode and re.search(AWAY, done.stderr):
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    found = {name: version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", done.stdout, re.MULTILINE)}
    assert found["pandas"].startswith("2.") and found["great-expectations"].startswith("1.")
    assert found["mpmath"] == "1.3.0" and int(found["pyarrow"].split(".")[0]) < 26
    spark = {name: found.get(name, "").rpartition(".")[0] for name in ("pyspark", "delta-spark")}
    assert spark == ({"pyspark": "4.1", "delta-spark": "4.4"} if extra else {"pyspark": "", "delta-spark": ""})


def test_delta_of_the_extra_is_the_one_whose_jar_the_conf_names():
    jar = re.search(r"delta-spark_4\.1_2\.13:(\S+)", (ROOT / "conf" / "spark.conf").read_text())[1]
    assert f"delta-spark=={jar}" in (ROOT / "pyproject.toml").read_text()


def test_jobs_of_a_checkout_run_on_an_installed_wheel_too():
    for job in (ROOT / "jobs").glob("*.py"):
        assert not re.search(r"^(from|import) udfs", job.read_text(), re.MULTILINE), job.name
