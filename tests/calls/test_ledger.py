"""ledger: which of several completions counts, what is asked again, and when a part file may go."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from boostqa.calls.ledger import best, later_answers, look_up, merge_staged_parts, release
from boostqa.errors import ConfigError
from boostqa.schemas import COMPLETION
from tests.calls.conftest import completion, write_part
from tests.rows import frame


def rows_of(requests, *prompts):
    """REQUEST rows by prompt."""
    return {r["prompt"]: r.asDict() for r in requests(*prompts).collect()}


def test_best_completion_of_a_request_is_the_earliest_usable_one(spark):
    staged = [
        {"request_id": "a", "text": "third", "run_id": "r3"},
        {"request_id": "a", "text": "second", "run_id": "r2"},
        {"request_id": "a", "text": "", "run_id": "r1", "finish_reason": "failed"},
        {"request_id": "b", "text": "only"},
    ]
    found = best(frame(spark, COMPLETION, *staged)).collect()
    assert {(r["request_id"], r["text"]) for r in found} == {("a", "second"), ("b", "only")}


def test_later_answers_are_told_from_the_same_completion_met_again(spark, requests):
    asked = rows_of(requests, *"abcdef")
    held = [
        completion(asked["a"], 0, text="x"),
        completion(asked["b"], 0, text="x"),
        completion(asked["c"], 0, text="x"),
    ]
    scored = {"finish_reason": "scored", "text": ""}
    staged = [
        completion(asked["a"], 0, text="x"),  # met again: its driver died before it removed the part
        completion(asked["b"], 1, text="x"),
        completion(asked["c"], 1, text="y"),
        completion(asked["d"], 0, text="x"),
        completion(asked["d"], 1, text="y"),
        completion(asked["e"], 0, logprob=-1.01, **scored),  # likelihoods depend on the batch a little
        completion(asked["e"], 1, logprob=-1.02, **scored),
        completion(asked["f"], 0, text="x"),
    ]
    later = later_answers(frame(spark, COMPLETION, *staged), frame(spark, COMPLETION, *held))
    assert {(r["prompt"], r["differs"]) for r in later.collect()} == {
        ("b", False),
        ("c", True),
        ("d", True),
        ("e", False),
    }


def test_look_up_tells_held_failed_and_unknown_requests_apart(spark, requests):
    asked = rows_of(requests, *"abcd")
    ledger = [
        completion(asked["a"]),
        completion(asked["b"], finish_reason="failed"),
        completion(asked["c"], finish_reason="refused"),
    ]
    found = look_up(requests(*"abcd"), frame(spark, COMPLETION, *ledger))
    assert {r["prompt"]: r["held"] for r in found.collect()} == {"a": True, "b": False, "c": True, "d": None}


def test_merge_keeps_the_first_answer_reports_others_and_leaves_a_part_that_is_not_whole_until_it_is_stale(
    stage, requests, capsys
):
    asked = rows_of(requests, *"abc")
    stage.warehouse.create("completion")
    write_part(stage, [completion(asked["a"], text="first"), completion(asked["b"], text="same")])
    merge_staged_parts(stage, stage.staging_folder())
    write_part(stage, [completion(asked["a"], text="first")])  # a driver died before it removed the part
    write_part(stage, [completion(asked["a"], 1, text="second"), completion(asked["b"], 1, text="same")])
    write_part(stage, [completion(asked["a"], 2, text="third")])
    cut = write_part(stage, [completion(asked["c"], text="cut")], cut=20)
    merge_staged_parts(stage, stage.staging_folder())
    ledger = {r["prompt"]: r["text"] for r in stage.warehouse.read("completion").collect()}
    assert ledger == {"a": "first", "b": "same"}
    assert sorted(r["text"] for r in stage.warehouse.read("conflict").collect()) == ["second", "third"]
    counts = stage.usage.counts
    assert (counts["conflicts"], counts["retry_tokens"]) == (2, 15)  # three later ones of 5 tokens
    assert "2 request(s) were answered twice" in capsys.readouterr().err
    assert list(Path(stage.staging_folder()).glob("part-*")) == [cut]
    os.utime(cut, (0, 0))
    merge_staged_parts(stage, stage.staging_folder())
    assert not cut.exists()


@pytest.mark.parametrize("name", ["run[1]", "run?", r"run\1", "{run1}"])
def test_parts_are_taken_from_the_folder_of_that_name_and_from_no_neighbour(tmp_path, new_stage, requests, name):
    asked = rows_of(requests, "mine", "theirs")
    for folder, prompt in ((name, "mine"), ("run1", "theirs")):
        stage = new_stage(f"warehouse={tmp_path}/{folder}/w")
        stage.warehouse.create("completion")
        write_part(stage, [completion(asked[prompt])])
        if folder == name:
            mine = stage
    merge_staged_parts(mine, mine.staging_folder())
    assert [r["prompt"] for r in mine.warehouse.read("completion").collect()] == ["mine"]


def test_usable_answer_wins_whoever_was_first_and_other_failures_stay(stage, requests):
    asked = rows_of(requests, *"abcd")
    stage.warehouse.create("completion")
    lost = {"finish_reason": "failed", "text": "", "generated_tokens": 0}
    write_part(stage, [completion(asked["a"], **lost), completion(asked["b"], **lost), completion(asked["c"])])
    merge_staged_parts(stage, stage.staging_folder())
    write_part(stage, [completion(asked["a"], 1, text="good"), completion(asked["c"], 1, **lost)])
    merge_staged_parts(stage, stage.staging_folder())
    ledger = {r["prompt"]: (r["finish_reason"], r["text"]) for r in stage.warehouse.read("completion").collect()}
    assert ledger["a"] == ("stop", "good") and ledger["b"][0] == "failed" and ledger["c"][0] == "stop"
    assert (stage.usage.counts["conflicts"], stage.usage.counts["retry_tokens"]) == (0, 0)
    assert not list(Path(stage.staging_folder()).glob("part-*"))


def test_parts_of_another_run_are_taken_in_and_left_to_it_until_they_are_old(stage, requests, capsys):
    asked = rows_of(requests, *"abc")
    stage.warehouse.create("completion")
    theirs = write_part(stage, [completion(asked["a"])], run_id="other")
    broken = write_part(stage, [completion(asked["b"])], run_id="other")
    broken.write_bytes(b"no parquet inside" + broken.read_bytes()[-4:])
    for _ in range(2):
        merge_staged_parts(stage, stage.staging_folder())
        assert [r["prompt"] for r in stage.warehouse.read("completion").collect()] == ["a"]
        assert theirs.exists() and broken.exists()
    assert str(broken) in " ".join(capsys.readouterr().err.split()).replace(" ", "")
    for part in (theirs, broken):
        os.utime(part, (0, 0))
    merge_staged_parts(stage, stage.staging_folder())
    assert not theirs.exists() and broken.exists()  # what cannot be read may still be mended


def test_release_lets_refused_requests_be_asked_again(stage, requests):
    asked = rows_of(requests, *"abc")
    stage.warehouse.create("completion")
    refused = {"finish_reason": "refused", "error": "prompt_too_long: 9 > 8 (vllm 0.1)"}
    rows = [completion(asked["a"], **refused), completion(asked["b"], **refused | {"error": "empty"})]
    write_part(stage, [*rows, completion(asked["c"])])
    merge_staged_parts(stage, stage.staging_folder())
    assert release(stage.warehouse, "error like '%(vllm 0.1)'") == 1
    with pytest.raises(ConfigError, match="--where no such: "):
        release(stage.warehouse, "no such")
    assert release(stage.warehouse, "true or true") == 1
    assert [r["prompt"] for r in stage.warehouse.read("completion").collect()] == ["c"]


def test_two_drivers_that_merge_the_same_parts_leave_each_request_once(new_stage, spark, requests):
    asked = rows_of(requests, *"abcd")
    stage, other = new_stage(), new_stage(run_id="run2", session=spark.newSession())
    stage.warehouse.create("completion")
    for request in asked.values():
        write_part(stage, [completion(request)])
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda s: merge_staged_parts(s, s.staging_folder()), [stage, other]))
    written, keys = stage.warehouse.measure("completion")
    assert (written.rows, keys) == (4, 4)
