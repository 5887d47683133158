"""token_usage: every token of the present tables is kept or lost to one named cause, and counted once."""

import pytest

from boostqa.report.token_usage import RULES, TABLES_READ, token_usage
from boostqa.schemas import TABLES
from boostqa.stages import annotate, clean, deduplicate, mix, probe, refine, seed, synthesize
from boostqa.stages.rejects import Rule
from boostqa.vocabulary import STAGES
from tests.rows import exported, stored

RUNS = "run_id string, stage string, retry_tokens long"


def asked(request_id, template="multi_grade", tokens=10, **changes):
    """A row of the ledger."""
    stages = {"annotate_difficulty": "annotate", "multi_grade": "synthesize"}
    row = {"request_id": request_id, "stage": stages.get(template, "refine"), "template": template}
    return row | {"generated_tokens": tokens, "finish_reason": "stop", "run_id": "r1"} | changes


def draft(draft_id, request_id=None, **changes):
    return {"draft_id": draft_id, "request_id": request_id or f"of {draft_id}"} | changes


def reject(stage, rule, key, *request_ids):
    return {"stage": stage, "rule": rule, "key": key, "request_ids": list(request_ids) or None}


def used(spark, blocked=(), runs=None, sums=("completions", "tokens"), **tables):
    """{(stage, cause): sums} of the tables given; the others are empty."""
    frames = {name: stored(spark, TABLES[name], *tables.get(name, [])) for name in TABLES_READ}
    rows = token_usage(frames, blocked, runs).collect()
    total = sum(r["tokens"] for r in rows)
    assert not total or sum(r["share"] for r in rows) == pytest.approx(1)
    assert all(r["share"] == pytest.approx(r["tokens"] / max(total, 1)) for r in rows)
    return {(r["stage"], r["cause"]): tuple(r[name] for name in sums) for r in rows}


REJECTED = (
    ("synthesize", "unparsable", "parse_failure"),
    ("synthesize", "below_aim", "degradation"),
    ("synthesize", "discipline_cannot_tell", "unlabelled"),
    ("refine", "disputed", "dispute"),
    ("clean", "near_duplicate", "duplicate"),
    ("clean", "contaminated", "contamination"),
    ("clean", "chat_turn", "rule"),
    ("mix", "over_budget", "over_budget"),
)


def test_token_usage_every_cause_once(spark):
    at_once = [r for r in REJECTED if r[0] == "synthesize"]
    later = [r for r in REJECTED if r[0] != "synthesize"]
    tables = {
        "completion": [
            *(asked(f"of {rule}") for _, rule, _ in REJECTED),
            *(asked(f"of {d}") for d in ("kept", "gated", "early")),
            asked("thinker", tokens=30, thinking_tokens=25),
            asked("cut", finish_reason="length"),
            asked("label", "annotate_difficulty", 3),
            asked("blind", "blind", 5),
            asked("judge", "judge", 1),
            asked("used", "rewrite", 6),
            asked("unused", "rewrite", 7),
        ],
        "annotation": [{"item_id": "s", "item_table": "seed", "request_ids": ["label"]}],
        "reject": [
            *(reject(stage, rule, f"plan of {rule}", f"of {rule}") for stage, rule, _ in at_once),
            *(reject(stage, rule, rule) for stage, rule, _ in later),
            reject("synthesize", "truncated", "p", "cut"),
        ],
        "draft": [
            *(draft(rule) for _, rule, _ in later),
            *map(draft, ("kept", "gated", "early")),
            draft("thought", "thinker"),
        ],
        "refined": [
            draft("kept", rewrite="rewritten", request_ids=["blind", "judge", "used"]),
            draft("gated", rewrite="kept: no rewrite", request_ids=["unused"]),
        ],
        "clean": [draft("gated")],
        "mix": [draft("kept"), draft("thought")],
    }
    tables["mix"] = [exported(row["draft_id"]) for row in tables["mix"]]
    runs = spark.createDataFrame([("r1", "refine", 40), ("r1", "probe", 0), ("other", "refine", 50)], RUNS)
    assert used(spark, blocked=["main"], runs=runs, **tables) == {
        **{("synthesize", cause): (1, 10) for _, _, cause in REJECTED},
        ("synthesize", "kept"): (2, 15),
        ("synthesize", "thinking"): (1, 25),
        ("synthesize", "truncation"): (1, 10),
        ("synthesize", "gate"): (1, 10),
        ("synthesize", "unfinished"): (1, 10),
        ("annotate", "label"): (1, 3),
        ("refine", "vote"): (2, 6),
        ("refine", "kept"): (1, 6),
        ("refine", "rewrite_unused"): (1, 7),
        ("refine", "retry"): (0, 40),
    }


def test_token_usage_completion_of_several_rows_counts_once_and_as_kept(spark):
    found = used(
        spark,
        completion=[asked("shared"), asked("label", "annotate_difficulty", 3)],
        draft=[draft("a", "shared"), draft("b", "shared")],
        annotation=[{"item_id": i, "item_table": "draft", "request_ids": ["label"]} for i in "ab"],
        reject=[reject("clean", "exact_duplicate", "b"), reject("refine", "disputed", "x", "label")],
        mix=[exported("a")],
    )
    assert found == {("synthesize", "kept"): (1, 10), ("annotate", "label"): (1, 3)}


def test_token_usage_leaves_out_what_no_row_refers_to_and_what_cost_nothing(spark):
    ledger = [asked("elsewhere"), asked("refused", tokens=0, finish_reason="refused"), asked("here")]
    found = used(spark, completion=ledger, reject=[reject("probe", "not_scored", "i", "refused", "here")])
    assert found == {("synthesize", "not_scored"): (1, 10)}
    assert used(spark, completion=ledger) == {}


def test_token_usage_prompts_count_once_with_what_was_served_from_the_cache_and_scored_ones_belong(spark):
    scored = {"stage": "probe", "finish_reason": "scored"}
    tables = {
        "completion": [
            asked("thinker", tokens=30, thinking_tokens=25, prompt_tokens=100, cached_tokens=60),
            asked("label", "annotate_difficulty", 3, prompt_tokens=20),
            asked("letter", "probe", 0, prompt_tokens=8, cached_tokens=2, **scored),
            asked("cloze", "probe", 0, prompt_tokens=5, **scored),
            asked("refused option", "probe", 0, prompt_tokens=1, **scored),
            asked("read by fluency", "fluency", 0, prompt_tokens=4, stage="clean", finish_reason="scored"),
        ],
        "annotation": [{"item_id": "s", "item_table": "seed", "request_ids": ["label"]}],
        "probe": [{"request_ids": ["letter", "cloze"]}],
        "reject": [reject("probe", "not_scored", "i", "refused option")],
        "draft": [draft("d", "thinker")],
        "mix": [exported("d")],
    }
    sums = ("completions", "prompt_tokens", "cached_tokens", "tokens")
    assert used(spark, sums=sums, **tables) == {
        ("synthesize", "kept"): (1, 100, 60, 5),
        ("synthesize", "thinking"): (1, 0, 0, 25),
        ("annotate", "label"): (1, 20, 0, 3),
        ("probe", "probe"): (2, 13, 2, 0),
        ("probe", "not_scored"): (1, 1, 0, 0),
        ("clean", "vote"): (1, 4, 0, 0),
    }
    assert set(used(spark, completion=tables["completion"][:-1], probe=tables["probe"])) == {("probe", "probe")}


def test_token_usage_whatever_a_control_cost_is_control(spark):
    found = used(
        spark,
        completion=[
            asked("blind", "blind", 9, thinking_tokens=4, finish_reason="length"),
            asked("rewrite", "rewrite", 5),
            asked("shared", "blind", 3),
            asked("written", tokens=7),
        ],
        control=[
            {"draft_id": "c", "stage": "refine", "request_ids": ["written", "blind", "shared"]},
            {"draft_id": "c", "stage": "clean", "request_ids": ["written", "blind", "shared", "rewrite"]},
        ],
        refined=[draft("d", request_ids=["shared"])],
        reject=[reject("refine", "disputed", "c", "blind")],
        mix=[exported("d")],
    )
    assert found == {("synthesize", "control"): (1, 7), ("refine", "control"): (3, 17)}


def test_token_usage_unknown_rule_and_template_are_causes_of_their_own(spark):
    found = used(
        spark,
        completion=[asked("a"), asked("b"), asked("c", template="of an older release")],
        draft=[draft("a", "a"), draft("c", "c")],
        reject=[reject("clean", "too_dull", "a"), reject("synthesize", "too_dull", "p", "b")],
    )
    assert found == {
        ("synthesize", "too_dull"): (2, 20),
        ("refine", "unknown_template"): (1, 10),
    }


def test_token_usage_earlier_of_two_rejects_counts_and_a_gate_that_holds_loses_nothing(spark):
    found = used(
        spark,
        completion=[asked("a", tokens=1), asked("b", tokens=2)],
        draft=[draft("a", "a"), draft("b", "b")],
        clean=[draft("b")],
        reject=[reject("clean", "contaminated", "a"), reject("refine", "disputed", "a", "gone from the ledger")],
    )
    assert found == {("synthesize", "dispute"): (1, 1), ("synthesize", "unfinished"): (1, 2)}


def test_every_rule_has_a_cause_and_every_stage_that_asks_a_model_names_one():
    assert set(RULES) < set(STAGES)
    for stage, rules in RULES.items():
        assert len({rule.name for rule in rules}) == len(rules), stage
    for module in (annotate, clean, deduplicate, mix, probe, refine, seed, synthesize):
        declared = {value for value in vars(module).values() if isinstance(value, Rule)}
        assert declared <= set(module.RULES), module.__name__
    unpaid = {stage for stage, rules in RULES.items() if all(rule.lost_to is None for rule in rules)}
    assert unpaid == {"seed"}
