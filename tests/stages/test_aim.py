"""aim: drafts that are easier than they should be are made once more, and the best one stays."""

import pytest

from boostqa.config import Synthesize
from boostqa.schemas import DRAFT, MEASURED
from boostqa.stages import aim
from tests.rows import row

ROWS = "plan_id string, lang string, grade string, sample_index int, shortfall string"


@pytest.fixture
def measured(spark):
    """measured((plan, attempt, difficulty, strategy), ...): what aim.measured gives."""

    def make(*tries):
        drafts = [
            row(
                DRAFT, draft_id=f"{plan}{n}", plan_id=plan, request_id=f"r-{plan}{n}", grade="H4", strategy=strategy,
                question=f"Question {plan}{n}?",
            )
            for plan, n, _, strategy in tries
        ]  # fmt: skip
        frame = spark.createDataFrame(drafts, DRAFT.schema).drop("difficulty")
        labels = [(f"{plan}{n}", level) for plan, n, level, _ in tries if level]
        ledger = [(f"r-{plan}{n}", n * aim.HARDER_APART + 1000, 50 + n) for plan, n, _, _ in tries]
        return aim.measured(
            frame,
            spark.createDataFrame(labels, "item_id string, difficulty string"),
            spark.createDataFrame(ledger, "request_id string, sample_index int, generated_tokens long"),
        )

    return make


def test_harder_only_high_difficulty_below_its_aim_goes_back_with_its_text_and_level(spark, measured):
    last = measured(
        ("easy", 0, "H2", "high_difficulty"), ("right", 0, "H4", "high_difficulty"), ("graded", 0, "H2", "multi_grade"),
        ("unlabelled", 0, None, "high_difficulty"),
    )  # fmt: skip
    rows = [(plan, "en", "H4", 1, "") for plan in ("easy", "right", "graded", "unlabelled")]
    [due] = aim.harder(spark.createDataFrame(rows, ROWS), last, 1).collect()
    assert (due["plan_id"], due["sample_index"]) == ("easy", aim.HARDER_APART + 1)
    assert "Question easy0?" in due["shortfall"] and "lower secondary pupils" in due["shortfall"]


def test_draft_without_a_label_is_rejected_with_its_own_request_and_the_labels(spark, measured):
    drafts = spark.createDataFrame([("d", "r")], "draft_id string, request_id string")
    found = [("synthesize", "d", "difficulty_cannot_tell", "none of the labels", ["l1", "l2"])]
    columns = "stage string, key string, rule string, evidence string, request_ids array<string>"
    [reject] = aim.unlabelled(drafts, spark.createDataFrame(found, columns)).collect()
    assert (reject["key"], reject["rule"], reject["request_ids"]) == ("d", "difficulty_cannot_tell", ["r", "l1", "l2"])


def test_best_of_a_request_is_the_first_that_comes_closest_to_its_aim(measured):
    tries = measured(
        ("up", 0, "H2", "high_difficulty"), ("up", 1, "H5", "high_difficulty"), ("same", 0, "H3", "high_difficulty"),
        ("same", 1, "H3", "high_difficulty"), ("low", 0, "H2", "multi_grade"),
    )  # fmt: skip
    judged, rejects = aim.best(tries, Synthesize(below_aim="keep"))
    assert {r["draft_id"] for r in aim.as_drafts(judged).collect()} == {"up1", "same0", "low0"}
    assert {(r["key"], r["rule"], r["evidence"]) for r in rejects.collect()} == {
        ("up0", "tried_harder", "aimed at H4, measured H2"), ("same1", "tried_harder", "aimed at H4, measured H3")
    }  # fmt: skip
    rows = {r["draft_id"]: r for r in aim.as_measured(judged).collect()}
    assert (rows["up1"]["attempt"], rows["up1"]["tokens"], rows["up1"]["kept"], rows["up0"]["kept"]) == (
        1,
        51,
        True,
        False,
    )
    judged, rejects = aim.best(tries, Synthesize(below_aim="reject"))
    assert {r["key"]: r["rule"] for r in rejects.collect()} == {
        "up0": "tried_harder", "same1": "tried_harder", "same0": "below_aim"
    }  # fmt: skip
    assert judged.columns and set(MEASURED.schema.names) <= set(judged.columns)
