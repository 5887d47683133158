"""A judge's rubric: what it says counts as far as it tells good controls from spoilt ones."""

import math

import pytest
from pyspark.sql import functions as F

from boostqa.calls.models import ModelSpec
from boostqa.config import EngineSettings, Model
from boostqa.schemas import COMPLETION, DRAFT
from boostqa.stages import rubric
from boostqa.vocabulary import Defect
from tests.rows import frame, row

SPEC = ModelSpec(Model(id="judge"), EngineSettings())


def controls(defect, *scores):
    """Drawn controls of a defect with these scores in `correct`; all clear, of the others nothing is known."""
    usual = {"defect": defect, "self_contained": None, "clear": 0.9, "at_level": 0.5}
    return [usual | {"correct": score} for score in scores]


GOOD, WRONG = controls(Defect.NONE, *(0.5 + n / 100 for n in range(20))), controls(Defect.WRONG_ANSWER, *[0.1] * 10)


def test_limit_of_a_criterion_that_tells_is_what_a_tenth_of_the_good_ones_lies_below():
    assert rubric.limits(GOOD + WRONG) == {"correct": 0.52}


@pytest.mark.parametrize(
    ("defect", "scores"),
    [
        (Defect.WRONG_ANSWER, [0.6] * 10),  # a judge that finds them good
        (Defect.WRONG_ANSWER, [0.1] * 3 + [0.6] * 7),  # some: the intervals meet
        (Defect.WRONG_ANSWER, [0.1] * 4),  # too few
        (Defect.WRONG_ANSWER, [None] * 10),  # no judgement
        (Defect.SHUFFLED, [0.1] * 10),  # not a defect of the answer; and none that `clear` finds
    ],
)
def test_limit_of_a_criterion_that_does_not_tell_is_none(defect, scores):
    assert rubric.limits(GOOD + controls(defect, *scores)) == {}


def test_rubric_asks_a_question_a_criterion_and_rejects_below_a_limit(spark):
    items = frame(
        spark, DRAFT,
        row(DRAFT, draft_id="right", question="What is 2 + 2?", solution="Count.", answer="4", grade="H1"),
        row(DRAFT, draft_id="wrong", question="1 或 2？", choices=["一", "二"], solution="", answer="A", lang="zh", grade="H5"),
        row(DRAFT, draft_id="mute", question="What is 3 + 3?", solution="Count.", answer="6", grade="H1"),
    )  # fmt: skip
    asked = rubric.requests(items.select("*", F.lit(False).alias("drawn"), F.lit("").alias("defect")), SPEC)
    prompts = {(r["draft_id"], r["criterion"]): r for r in asked.collect()}
    assert len(prompts) == 12 and {r["structured"] for r in prompts.values()} == {'{"choice": ["yes", "no"]}'}
    one, zh = prompts["right", "correct"]["prompt"], prompts["wrong", "clear"]["prompt"]
    assert "Question:\nWhat is 2 + 2?\n\nSolution:\nCount.\n\nFinal answer: 4\n\nIs the final answer right" in one
    assert "题目：\n1 或 2？\nA. 一\nB. 二\n" in zh and "研究生" in zh and "恰好只有一个正确答案" in zh
    yes = {("wrong", "correct"): 0.3, ("wrong", "clear"): 0.4}
    replies = [
        row(COMPLETION, request_id=r["request_id"], text="yes", finish_reason="failed" if key[0] == "mute" else "stop",
            choice_logprobs={"yes": math.log(yes.get(key, 0.8)), "no": -2.0})
        for key, r in prompts.items()
    ]  # fmt: skip
    scored = rubric.scores(asked, frame(spark, COMPLETION, *replies))
    rows, rejects = rubric.parse(scored, {"clear": 0.5, "correct": 0.5}, "judge")
    found = {r["draft_id"]: r for r in rows.collect()}
    assert [found[d]["correct"] for d in ("right", "wrong", "mute")] == [pytest.approx(0.8), pytest.approx(0.3), None]
    assert found["right"]["limits"] == {"clear": 0.5, "correct": 0.5} and len(found["right"]["request_ids"]) == 4
    assert [(r["key"], r["rule"], r["evidence"]) for r in rejects.collect()] == [
        ("wrong", "rubric_correct", "yes 0.30 < 0.50 (judge)")
    ]
    assert rubric.parse(scored, {}, "judge")[1].collect() == []
