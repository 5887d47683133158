"""status: token usage is written from the tables there are and shown as shares of 100%."""

from io import StringIO

import pytest
from rich.console import Console

from boostqa.report import controls
from boostqa.report.status import collect, show
from boostqa.report.token_usage import write_token_usage
from boostqa.schemas import TABLES
from boostqa.storage.warehouse import Warehouse
from tests.rows import frame, row, stored


@pytest.fixture
def warehouse(spark, tmp_path):
    return Warehouse(spark, str(tmp_path / "warehouse"))


def write(warehouse, name, *changes):
    warehouse.write(name, stored(warehouse.spark, TABLES[name], *changes))


def asked(request_id, tokens, **changes):
    row = {"request_id": request_id, "stage": "synthesize", "template": "multi_grade", "finish_reason": "stop"}
    return row | {"generated_tokens": tokens, "prompt_tokens": 100, "cached_tokens": 40, "run_id": "r1"} | changes


def generated(by_cause):
    return {cause: sums["tokens"] for cause, sums in by_cause.items()}


def test_rejected_rows_by_rule_break_between_items_on_a_narrow_console():
    row = dict.fromkeys(
        ("rows_in", "fan_out", "kept", "rejected", "requests", "reused", "prompt_tokens", "generated_tokens",
         "tokens_per_second", "engine_starts", "seconds"), 0
    )  # fmt: skip
    rejected = {"licence_not_allowed": 1, "malformed": 12, "too_short": 3}
    shown = StringIO()
    stages = [row | {"round": "", "stage": "seed", "rejected_by_rule": rejected}]
    show({"stages": stages, "tables": {}, "gates": [], "kept_tokens": 0}, Console(file=shown, width=52))
    assert "rejected by seed: licence_not_allowed 1, malformed\n" not in shown.getvalue()
    assert "rejected by seed: licence_not_allowed 1,\n  malformed 12, too_short 3\n" in shown.getvalue()


def test_controls_are_shown_by_defect_with_what_stopped_them_and_what_voter_and_judge_are_worth():
    def power(check, defect, passed, items, **more):
        return row(TABLES["power"], check=check, defect=defect, passed=passed, items=items, **more)

    rows = [
        power("line", "none", 8, 10, tokens=900), power("line", "cut_off", 1, 5), power("cut_off", "cut_off", 2, 5),
        power("disputed", "cut_off", 4, 5), power("disputed", "none", 8, 10), power("cut_off", "none", 10, 10),
        power("voter", "none", 7, 10, chance=0.25, model="M"), power("judge", "equal", 9, 10, model="J"),
        power("judge", "different", 1, 10, model="J"),
    ]  # fmt: skip
    shown = StringIO()
    controls.show(rows, Console(file=shown, width=120))
    lines = [" ".join(line.replace("│", " ").split()) for line in shown.getvalue().splitlines()]
    assert "none (good items) 10 8 50% to 50% 900 disputed 2" in lines
    assert "cut_off 5 1 50% to 50% 0 cut_off 3, disputed 1" in lines
    assert "voter M: 7 of 10 known questions right at the first attempt (guessing: 2.5)" in lines
    assert "judge J: calls equal 9 of 10 equal and 1 of 10 different pairs" in lines
    controls.show([], Console(file=shown))


def test_token_usage_without_any_generation_is_not_written(warehouse):
    assert write_token_usage(warehouse, "r1") == {} and not warehouse.exists("token_usage")


def test_token_usage_is_written_from_the_tables_there_are_and_shown_with_what_is_outside(warehouse):
    write(warehouse, "completion", asked("a", 60, thinking_tokens=20), asked("b", 30), asked("of another conf", 7))
    write(warehouse, "draft", {"draft_id": "a", "request_id": "a"}, {"draft_id": "b", "request_id": "b"})
    write(warehouse, "clean", {"draft_id": "b"})
    write(warehouse, "run", {"run_id": "r1", "stage": "synthesize", "retry_tokens": 10})
    failed = {
        "table": "clean",
        "gate": "min_rows",
        "success": False,
        "outcome": "blocks",
        "observed": "0 items are left",
    }
    write(warehouse, "verdict", failed | {"version": warehouse.version("clean")})
    assert generated(write_token_usage(warehouse, "r1")) == {"thinking": 20, "unfinished": 40, "gate": 30, "retry": 10}
    facts, first = collect(warehouse), warehouse.measure("token_usage")[0].hash
    assert facts["token_usage"]["outside"] == {"completions": 1, "prompt_tokens": 100, "tokens": 7}
    assert [(r["cause"], r["share"]) for r in facts["token_usage"]["causes"]] == [
        ("unfinished", 0.4), ("gate", 0.3), ("thinking", 0.2), ("retry", 0.1)
    ]  # fmt: skip
    shown = StringIO()
    show(facts, Console(file=shown, width=160))
    lines = [line.replace("│", " ").split() for line in shown.getvalue().splitlines()]
    assert ["unfinished", "1", "100", "40", "40", "40.0%"] in lines
    assert ["thinking", "1", "0", "0", "20", "20.0%"] in lines
    assert ["asked", "by", "synthesize", "2", "200", "80", "100", "100.0%"] in lines
    assert ["all", "200", "80", "100", "100.0%"] in lines
    assert "not in it: 7 generated and 100 prompt tokens of 1 completions" in shown.getvalue()
    assert "gates: 0 holds, 0 warns, 0 quarantined, 1 blocks" in shown.getvalue()
    assert "blocks clean: min_rows: 0 items are left" in shown.getvalue()
    write(warehouse, "clean", {"draft_id": "b"})  # a version the gate has not judged
    assert generated(write_token_usage(warehouse, "r2")) == {"thinking": 20, "unfinished": 70, "retry": 10}
    write(warehouse, "verdict", failed | {"version": warehouse.version("clean")})
    assert generated(write_token_usage(warehouse, "r3"))["gate"] == 30
    warned = failed | {"outcome": "warns", "version": warehouse.version("clean")}
    voter = {"gate": "voter_better_than_chance", "outcome": "quarantined", "observed": "the voter guesses"}
    write(warehouse, "verdict", warned, warned | voter)
    write(warehouse, "mix")
    warehouse.append("quarantine", frame(warehouse.spark, TABLES["quarantine"], {"gate": "x", "event": "quarantined"}))
    assert generated(write_token_usage(warehouse, "r4"))["unfinished"] == 70  # no gate blocks
    shown = StringIO()
    show(collect(warehouse), Console(file=shown, width=160))
    assert "quarantine (items and gates): 1 quarantined: boostqa quarantine list" in shown.getvalue()
    assert "nothing is exported: The voter guesses. 0 items are left." in shown.getvalue()
    write(warehouse, "verdict", failed | {"version": warehouse.version("clean")})
    assert generated(write_token_usage(warehouse, "r5"))["gate"] == 30
    assert warehouse.measure("token_usage")[0].hash == first
