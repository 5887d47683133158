"""The whole line with the real engine, through the command line as a user runs it; and what stops it before it starts."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest

from boostqa import config, line
from boostqa.errors import ConfigError, GateFailed

ROOT = Path(__file__).parents[1]
DEMO = str(ROOT / "conf" / "demo.yaml")
MODEL = ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct"


def boostqa(*args, folder):
    """Run the command line on the demo's conf with its tables in `folder`."""
    small = ["plan.tokens=3000", f"warehouse={folder}/warehouse", f"output={folder}/output"]
    settings = [x for setting in small for x in ("--set", setting)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [
        sys.executable,
        "-c",
        "from boostqa.cli import main; main()",
        args[0],
        "--config",
        DEMO,
        *settings,
        *args[1:],
    ]
    return subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo, run once."""
    if not (MODEL / "config.json").exists():
        pytest.skip(f"no demo model in {MODEL}: make setup")
    folder = tmp_path_factory.mktemp("demo")
    done = boostqa("run", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def status(folder):
    done = boostqa("status", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.engine
def test_demo_runs_all_stages_and_leaves_a_readable_mix(demo):
    facts = status(demo)
    assert [s["stage"] for s in facts["stages"]] == list(line.STAGES)
    for row in facts["stages"]:
        assert row["rows_in"] + row["fan_out"] == row["kept"] + row["rejected"], row["stage"]
    rejected = {s["stage"]: s["rejected_by_rule"] for s in facts["stages"]}
    for rule in ("malformed", "licence_not_allowed", "licence_missing", "duplicate", "figure_only"):
        assert rejected["seed"][rule] >= 1
    assert sum(s["engine_starts"] for s in facts["stages"]) == 1
    manifest = json.loads((demo / "output" / "mix" / "manifest.json").read_text())
    mix = pd.read_parquet(demo / "output" / "mix" / "parquet")
    assert len(mix) == manifest["rows"] == facts["tables"]["mix"]["rows"] >= 1
    assert not mix["text"].str.contains("<|", regex=False).any()
    page = (demo / "output" / "quality" / "verdicts.html").read_text()
    assert "http://" not in page and "https://" not in page


@pytest.mark.engine
def test_explain_tells_the_story_of_an_exported_item(demo):
    item = pd.read_parquet(demo / "output" / "mix" / "parquet")["draft_id"].iloc[0]
    done = boostqa("explain", item[:16], folder=demo)
    assert done.returncode == 0, done.stderr
    story = json.loads(done.stdout)
    assert story["draft"]["draft_id"] == story["mix"][0]["draft_id"] == item
    assert story["seed"][0]["seed_id"] == story["draft"]["seed_id"] and story["reject"] == []
    assert story["completion"][0]["prompt"] and story["plan"][0]["grade"] == story["draft"]["grade"]


@pytest.mark.engine
def test_second_run_asks_nothing_and_changes_no_table(demo):
    before = status(demo)
    done = boostqa("run", folder=demo)
    assert done.returncode == 0, done.stderr
    after = status(demo)
    assert sum(s["requests"] - s["reused"] for s in after["stages"]) == 0
    assert sum(s["generated_tokens"] + s["engine_starts"] for s in after["stages"]) == 0
    assert {t: x["hash"] for t, x in after["tables"].items()} == {t: x["hash"] for t, x in before["tables"].items()}


@pytest.mark.engine
def test_failing_gate_stops_the_line_with_its_own_exit_code(demo):
    shutil.rmtree(demo / "output" / "mix")
    done = boostqa("run", "--from", "gate", "--set", "gate.min_rows=100000", folder=demo)
    assert done.returncode == 4
    assert "GateFailed: 1 of" in done.stderr and "clean: min_rows: observed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (demo / "output" / "mix").exists()
    again = boostqa("run", "--from", "mix", folder=demo)  # the verdict table still says no
    assert again.returncode == 4 and "1 gates fail" in again.stderr


@pytest.mark.engine
def test_prompt_longer_than_the_context_is_a_reject(demo):
    done = boostqa("run", "--from", "annotate", "--to", "annotate", "--set", "engine.max_model_len=256", folder=demo)
    assert done.returncode == 0, done.stderr
    rejected = {s["stage"]: s["rejected_by_rule"] for s in status(demo)["stages"]}["annotate"]
    assert rejected["annotation_failed"] >= 1


def test_model_folder_that_does_not_exist_is_named_before_anything_starts(tmp_path):
    conf = config.load(DEMO, ["model.generator=./nowhere", "tokenizer=/also/nowhere", f"warehouse={tmp_path}"])
    with pytest.raises(ConfigError) as error:
        line.preflight(conf)
    assert "model.generator: no folder ./nowhere" in str(error.value)
    assert "tokenizer: no folder /also/nowhere" in str(error.value)


def test_full_disk_is_named_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 1024))
    conf = config.load(DEMO, ["model.generator=owner/name", "tokenizer=owner/name", f"warehouse={tmp_path}"])
    with pytest.raises(ConfigError, match="warehouse: 0 MiB free"):
        line.preflight(conf)


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["run", "--config", "nowhere.yaml"], "nowhere.yaml: cannot read the conf"),
        (["run", "--config", DEMO, "--set", "sed.x=1", "--set", "plan.tokens=no"], "2 mistake(s) in the conf"),
        (["run", "--config", DEMO, "--from", "sed"], "no stage 'sed'; the stages are seed, annotate"),
        (["run", "--config", DEMO, "--from", "mix", "--to", "seed"], "--from mix comes after --to seed"),
    ],
)
def test_command_line_mistake_is_one_message_and_exit_code_2(args, part):
    command = [sys.executable, "-c", "from boostqa.cli import main; main()", *args]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert part in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("error", [GateFailed("min_rows"), None])
def test_bill_is_written_after_the_stages_and_never_hides_why_the_line_stopped(spark, tmp_path, monkeypatch, error):
    def stages(*_):
        if error:
            raise error

    def bill(tables, run_id):
        billed.append(run_id)
        if error:
            raise RuntimeError("no bill")
        return {}

    billed = []
    monkeypatch.setattr(line, "preflight", lambda config: None)
    monkeypatch.setattr(line, "spark_session", lambda *_: spark)
    monkeypatch.setattr(line, "line_run", lambda config, run_id: nullcontext("nowhere"))
    monkeypatch.setattr(line, "_run_stages", stages)
    monkeypatch.setattr(line.report, "write_bill", bill)
    conf = config.load(DEMO, [f"warehouse={tmp_path}/w", f"output={tmp_path}/o"])
    with pytest.raises(GateFailed, match="min_rows") if error else nullcontext():
        line.run(conf, ["gate"])
    assert len(billed) == 1


def test_unexpected_error_shows_a_sentence_and_keeps_the_trace_in_a_file(capsys):
    assert line.report_errors(lambda: 1 / 0) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("unexpected ZeroDivisionError: division by zero") and "Traceback" not in shown
