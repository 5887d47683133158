"""running: where a run stands, told to other processes; nothing said of what is left before there is a basis."""

import json
import re
import time
from io import StringIO

import pytest
from rich.console import Console

from boostqa import running
from boostqa.calls import progress
from boostqa.running import Pace, Running, lines, read


def counts(**changes):
    usual = {"rows": 0, "total": 358, "unusable": 0, "tokens": 0, "tokens_per_second": None, "seconds_left": None}
    return usual | changes


def test_pace_counts_from_the_first_answers_and_says_nothing_before_there_is_a_basis():
    pace = Pace()
    assert pace.of(0, 0, 0, 300) == (None, None)
    assert pace.of(600, 10, 900, 300) == (None, None)  # ten minutes of start
    assert pace.of(615, 100, 9900, 300) == (None, None)
    assert pace.of(630, 25, 2000, 300) == (None, None)
    assert pace.of(630, 110, 9900, 300) == (300.0, 57.0)


def test_other_processes_read_the_running_stage_its_rows_and_what_failed_until_it_runs_again(tmp_path):
    folder = tmp_path.as_uri()  # any file system
    run = Running(folder, "run 1")
    assert lines(read(folder)) == []
    with pytest.raises(ValueError, match="no engine"), run.stage("refine"):
        run.tell(**counts(rows=120, unusable=4, tokens_per_second=85.2, seconds_left=40.4))
        run._write()
        [now] = lines(read(folder))
        assert re.fullmatch(
            r"run run 1: refine for \d s: 120 of 358 requests, 4 failed, 85 tokens/s, about 40 s left", now
        )
        raise ValueError("no engine\nmore")
    [failed] = lines(read(folder))
    assert re.fullmatch(r"failed: refine in run run 1 \(\d{4}.* UTC\): ValueError: no engine", failed)
    again = Running(folder, "run 2")
    with again.stage("seed"):
        pass
    assert list(read(folder)["failed"]) == ["refine"]
    with again.stage("refine"):
        pass
    assert lines(read(folder)) == []


def test_a_run_without_a_sign_of_life_and_a_file_that_is_half_written_are_told_apart_from_a_living_one(tmp_path):
    at = {"at": time.time() - 600, "run_id": "r", "done": ["seed: 5 in"], "failed": {}}
    file = tmp_path / running.FILE
    file.write_text(json.dumps(at | {"now": {"stage": "clean", "since": time.time() - 900}}))
    assert lines(read(str(tmp_path))) == [
        "seed: 5 in",
        "run r: clean for 15 min; no sign of life for 10 min: it was killed, or its machine is gone",
    ]
    file.write_text('{"at": 1')
    assert read(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("terminal", "term", "bar"), [(True, "xterm", True), (True, "dumb", False), (False, "", False)]
)
def test_a_terminal_has_one_bar_and_a_log_plain_lines(tmp_path, monkeypatch, terminal, term, bar):
    shown = StringIO()
    console = Console(file=shown, force_terminal=terminal, width=120, height=20, _environ={"TERM": term})
    for module in (running, progress):
        monkeypatch.setattr(module, "CONSOLE", console)
    monkeypatch.setattr(progress, "SECONDS", 0.05)
    monkeypatch.setattr(progress, "LIVE_SECONDS", 0.05)
    run, patience = Running(str(tmp_path), "r"), time.monotonic() + 60
    with run.stage("refine"), progress.progress_of(str(tmp_path), "r", 358, "refine", run):
        (tmp_path / "part-r-0-x-r120-t900-f4.parquet").touch()
        while "120 of 358" not in shown.getvalue() and time.monotonic() < patience:
            time.sleep(0.02)
        time.sleep(0.3)  # several more looks, at nothing new
    plain = "  refine: 120 of 358 requests, 4 failed\n"
    assert shown.getvalue().count(plain) <= 1
    assert (plain in shown.getvalue(), "120 of 358" in shown.getvalue(), run.bar) == (not bar, True, None)
