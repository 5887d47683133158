"""errors: what fails outside has one sentence that says what happened, where, and what mends it."""

import pytest

from boostqa import pipeline
from boostqa.errors import cause

CASES = [
    ("java.io.IOException: No space left on device", "the disk is full: free space"),
    ("(sqlite3.OperationalError) database or disk is full", "the disk is full: free space"),
    ("x\njava.nio.file.AccessDeniedException: /data/w/seed: Permission denied", "/data/w/seed"),
    ("Job aborted: java.lang.OutOfMemoryError: Java heap space", "raise spark.driver.memory"),
    ("Python worker exited unexpectedly (crashed)", "most often by the system for memory"),
    ("ExecutorLostFailure (executor 1 exited with status 137)", "most often by the system for memory"),
    (
        "An error occurred while calling o1.x\npy4j.protocol.Py4JNetworkError: gone",
        "the JVM of the Spark driver is gone",
    ),
    ("[FAILED_READ_FILE.FILE_NOT_EXIST] file /w/clean/part-1.parquet", "/w/clean/part-1.parquet: "),
    (
        "[FAILED_READ_FILE.NO_HINT] reading file file:///w/seed/_delta_log/001.json.",
        "if it is the latest commit and cut off",
    ),
    ("[DELTA_TRUNCATED_TRANSACTION_LOG] /w/seed/_delta_log/0.json", "the log of a Delta table is damaged"),
]


@pytest.mark.parametrize(("message", "part"), CASES)
def test_cause_names_what_happened_and_where(message, part):
    assert part in cause(RuntimeError(message))


def test_cause_is_found_below_and_unknown_is_none():
    try:
        try:
            raise OSError("No space left on device: '/data/x'")
        except OSError as error:
            raise RuntimeError("o6123") from error
    except RuntimeError as error:
        assert cause(error).startswith("the disk is full") and "/data/x" in cause(error)
    assert cause(ValueError("no idea")) is None


def test_unexpected_error_shows_a_sentence_and_keeps_the_trace_in_a_file(capsys):
    assert pipeline.report_errors(lambda: 1 / 0) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("unexpected ZeroDivisionError: division by zero") and "Traceback" not in shown


def test_run_says_which_folder_a_relative_warehouse_is_and_whether_it_starts_from_nothing_there(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert pipeline.where_it_writes("w", True) == f"warehouse {tmp_path}/w"
    assert pipeline.where_it_writes("w", False) == f"warehouse {tmp_path}/w: no stage has run here yet"
    assert pipeline.where_it_writes("s3a://bucket/w", True) == "warehouse s3a://bucket/w"
