"""What the end of a run said is shown without Spark as long as no table was written since."""

import json

import pytest

from boostqa import pipeline
from boostqa.report import last_status
from boostqa.running import Running
from boostqa.storage import delta_log
from tests.test_cli import run

FACTS = {"stages": [], "tables": {"mix": {"version": 1, "rows": 7, "hash": "00ff"}}, "gates": [], "kept_tokens": 1234}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A warehouse with a log of two commits, and no way to Spark."""
    monkeypatch.setattr(pipeline, "warehouse", lambda _: pytest.fail("Spark is asked"))
    log = tmp_path / "mix" / "_delta_log"
    log.mkdir(parents=True)
    for name in ("00000000000000000000.json", "00000000000000000001.json", "_last_checkpoint", "0.crc"):
        (log / name).touch()
    last_status.keep(str(tmp_path), last_status.versions(str(tmp_path), None), FACTS)
    return tmp_path


def status(folder, *words):
    conf = folder / "conf.yaml"
    assert conf.exists() or run("init", conf).exit_code == 0
    ended = run("status", "--config", conf, "--set", f"warehouse={folder}", *words)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_status_of_unchanged_tables_is_what_the_run_said(folder):
    assert next(iter(delta_log.commits(str(folder / "mix")))) == 1 and delta_log.commits(str(folder / "draft")) == {}
    assert "1234 kept in the mix" in status(folder, "--quick")
    assert json.loads(status(folder, "--quick", "--json")) == FACTS | {"running": None}


def test_a_table_written_since_makes_it_no_answer_and_a_running_stage_is_told_all_the_same(folder):
    (folder / "draft" / "_delta_log").mkdir(parents=True)
    (folder / "draft" / "_delta_log" / f"{0:020}.json").touch()
    assert "they are not read now" in status(folder, "--quick")
    with Running(str(folder), "run 1").stage("refine"):
        while not (folder / "_progress.json").exists():
            pass
        shown = status(folder)
    assert "run run 1: refine for 0 s" in shown and "they are not read now" in shown and "1234" not in shown


def test_of_a_catalog_nothing_is_kept():
    assert last_status.versions("main.boostqa", None) is None
    assert last_status.versions("/w", "main.boostqa.completion") is None
