"""The command line: commands that need neither Spark nor a conf (init, schema, --version), and mistakes on it."""

import json
import os
import re
import subprocess
import sys

import jsonschema  # comes with great-expectations
import pytest
import yaml
from typer.testing import CliRunner

from boostqa import __version__, cli, config
from tests.processes import DEMO, ROOT

START = ROOT / "conf" / "start.yaml"


def run(*words):
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def test_init_writes_a_conf_that_loads(tmp_path):
    file = tmp_path / "mine.yaml"
    ended = run("init", file)
    assert ended.exit_code == 0 and f"boostqa run --config {file}" in ended.stdout
    assert config.load(str(file)).spark.master == "local[*]"


def test_init_leaves_an_existing_file_alone(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    ended = run("init", file)
    assert ended.exit_code == 2 and f"{file} exists" in ended.stderr
    assert file.read_text() == "mine"


def test_init_into_a_folder_that_is_not_there_is_one_message(tmp_path):
    ended = run("init", tmp_path / "nowhere" / "mine.yaml")
    assert ended.exit_code == 2 and "cannot write the conf" in ended.stderr and "Traceback" not in ended.stderr


def test_settings_that_the_conf_to_start_from_shows_in_comments_are_valid(tmp_path):
    text, shown = re.subn(r"(?m)^( +)# (\w+: )", r"\1\2", START.read_text(encoding="utf-8"))
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    assert shown >= 4
    assert config.load(str(file)).model.refiner.id == "Qwen/Qwen3-32B"


@pytest.fixture(scope="module")
def schema():
    return jsonschema.Draft202012Validator(json.loads(run("schema").stdout))


@pytest.mark.parametrize("file", [DEMO, ROOT / "conf" / "cluster.yaml", START])
def test_schema_takes_every_conf_there_is(schema, file):
    with open(file, encoding="utf-8") as text:
        assert list(schema.iter_errors(yaml.safe_load(text))) == []


def test_schema_names_unknown_keys_and_wrong_values(schema):
    conf = yaml.safe_load(START.read_text(encoding="utf-8"))
    conf["plan"] |= {"tokens": True, "tokenz": 1}
    conf["engine"]["dtype"] = "fp16"
    found = {(".".join(map(str, e.path)), e.validator) for e in schema.iter_errors(conf)}
    assert found == {("plan.tokens", "type"), ("plan", "additionalProperties"), ("engine.dtype", "enum")}


def test_version_is_that_of_the_package():
    assert run("--version").stdout == f"boostqa {__version__}\n"


def test_command_line_in_a_process_of_its_own_says_what_is_missing(tmp_path):
    """What a user types: a JVM with conf/spark.conf, one message on standard error, an exit code."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    words = ["status", "--config", DEMO, "--set", f"warehouse={tmp_path}"]
    command = [sys.executable, "-c", "from boostqa.cli import main; main()", *words]
    ended = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 2, ended.stderr
    assert "ConfigError: no run in warehouse" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["run", "--config", "nowhere.yaml"], "nowhere.yaml: cannot read the conf"),
        (["run", "--config", DEMO, "--set", "sed.x=1", "--set", "plan.tokens=no"], "2 mistake(s) in the conf"),
        (["run", "--config", DEMO, "--from", "sed"], "no stage 'sed'; the stages are seed, annotate"),
        (["run", "--config", DEMO, "--from", "mix", "--to", "seed"], "--from mix comes after --to seed"),
    ],
)
def test_command_line_mistake_is_one_message_and_exit_code_2(words, part):
    ended = CliRunner().invoke(cli.app, words)
    assert ended.exit_code == 2
    assert part in ended.stderr and "Traceback" not in ended.stderr
