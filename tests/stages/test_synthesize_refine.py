"""synthesize and refine: every request ends as a draft or a reject, no answer changes silently."""

import json

import pytest

from boostqa.config import Engine, Model, Refine, Synthesize
from boostqa.requests import Speaker
from boostqa.schemas import DRAFT, PLAN, REFINED
from boostqa.stages import refine, synthesize

SPEAKER = Speaker(Model(id="m"), Engine())
REJECTS = "stage string, key string, rule string, evidence string, request_ids array<string>"
OPEN = json.dumps({"question": "What is 2 + 2?", "solution": "Add.", "answer": "4"})
CHOICE = json.dumps({"question": "2 + 2?", "choices": ["3", "4", "5", "6"], "solution": "Add.", "answer": "B"})


def ledger(spark, rows):
    """(request_id, text, finish_reason, error) as the ledger's columns that parsing reads."""
    return spark.createDataFrame(rows, "request_id string, text string, finish_reason string, error string")


def planned(spark, *formats):
    rows = [(f"p{i}", "s", "en", "0541", "H4", "high_difficulty", f, "several_steps", i) for i, f in enumerate(formats)]
    return spark.createDataFrame(rows, PLAN.schema)


def asked(spark, *formats):
    seeds = spark.createDataFrame([("s", "Sums of numbers.")], "seed_id string, text string")
    return synthesize.requests(planned(spark, *formats), seeds, SPEAKER, Synthesize())


def test_synthesize_prompt_names_grade_format_lever_and_source(spark):
    [row] = asked(spark, "proof").collect()
    for part in (
        "undergraduate study",
        "proof problem",
        "at least four dependent steps",
        "Sums of numbers.",
        "Mathematics",
    ):
        assert part in row["prompt"]
    assert "choices" not in json.loads(row["structured"])["json"]["properties"]


@pytest.mark.parametrize(
    ("format", "text", "finish", "rule"),
    [
        ("short_answer", OPEN[:30], "length", "truncated"),
        ("short_answer", "no json", "stop", "unparsable"),
        ("short_answer", json.dumps({"question": "x", "solution": " ", "answer": "1"}), "stop", "unparsable"),
        ("multiple_choice", CHOICE.replace('"5"', '"3"'), "stop", "choices_invalid"),
        ("short_answer", "", "refused", "generation_failed"),
        ("short_answer", " \n", "stop", "empty"),
        ("short_answer", OPEN.replace("Add.", "Add \\u0007 \ufffd."), "stop", "invalid_text"),
        ("short_answer", OPEN.replace("Add.", "Add \\u0000."), "stop", "invalid_text"),
        ("short_answer", "I'm sorry, but I can't help with that.", "stop", "refusal"),
        ("short_answer", OPEN.replace("What is 2", "I cannot create a question. 2"), "stop", "refusal"),
        ("short_answer", OPEN.replace("What is 2 + 2?", "抱歉，我无法回答。"), "stop", "refusal"),
    ],
)
def test_synthesize_bad_completion_is_one_reject(spark, format, text, finish, rule):
    rows = asked(spark, format)
    request_id = rows.first()["request_id"]
    answers = ledger(spark, [(request_id, text, finish, "prompt_too_long" if finish == "refused" else None)])
    drafts, rejects = synthesize.parse(rows, answers)
    [row] = rejects.collect()
    assert (drafts.count(), row["key"], row["rule"], row["request_ids"]) == (0, "p0", rule, [request_id])


def test_synthesize_question_about_being_sorry_is_no_refusal(spark):
    rows = asked(spark, "short_answer")
    text = OPEN.replace("What is 2 + 2?", "Why is 'I'm sorry' an apology? Formulas use\\t tabs.")
    drafts, rejects = synthesize.parse(rows, ledger(spark, [(rows.first()["request_id"], text, "stop", None)]))
    assert (drafts.count(), rejects.count()) == (1, 0)


def test_synthesize_good_completions_become_drafts_with_measured_difficulty(spark):
    rows = asked(spark, "multiple_choice", "short_answer")
    ids = {r["format"]: r["request_id"] for r in rows.collect()}
    answers = ledger(spark, [(ids["multiple_choice"], CHOICE, "stop", None), (ids["short_answer"], OPEN, "stop", None)])
    drafts, rejects = synthesize.parse(rows, answers)
    assert rejects.count() == 0
    got = {r["format"]: r for r in drafts.collect()}
    assert got["multiple_choice"]["choices"] == ["3", "4", "5", "6"] and got["short_answer"]["choices"] is None
    labels = spark.createDataFrame(
        [(r["draft_id"], d) for r, d in zip(got.values(), ("H4", "H1"), strict=True)],
        "item_id string, difficulty string",
    )
    none = spark.createDataFrame([], REJECTS)
    kept, below = synthesize.measured(drafts, labels, none, Synthesize(below_aim="reject"))
    assert [(r["grade"], r["difficulty"]) for r in kept.collect()] == [("H4", "H4")]
    [reject] = below.collect()
    assert (reject["rule"], reject["evidence"]) == ("below_aim", "aimed at H4, measured H1")
    easy = next(r for r in got.values() if r["draft_id"] == reject["key"])
    assert reject["request_ids"] == [easy["request_id"]]
    assert synthesize.measured(drafts, labels, none, Synthesize(below_aim="keep"))[0].count() == 2


def test_synthesize_draft_without_label_is_rejected_with_its_own_request_and_the_labels(spark):
    rows = asked(spark, "short_answer")
    request_id = rows.first()["request_id"]
    drafts, _ = synthesize.parse(rows, ledger(spark, [(request_id, OPEN, "stop", None)]))
    draft_id = drafts.first()["draft_id"]
    unlabelled = [("synthesize", draft_id, "difficulty_cannot_tell", "none of the labels", ["l1", "l2"])]
    labels = spark.createDataFrame([], "item_id string, difficulty string")
    kept, rejects = synthesize.measured(drafts, labels, spark.createDataFrame(unlabelled, REJECTS), Synthesize())
    [row] = rejects.collect()
    assert (kept.count(), row["key"], row["rule"]) == (0, draft_id, "difficulty_cannot_tell")
    assert row["request_ids"] == [request_id, "l1", "l2"]


def draft(spark, format="short_answer", answer="4", choices=None):
    row = (
        "d",
        "p",
        "s",
        "en",
        "0541",
        "H4",
        "multi_grade",
        format,
        None,
        "H4",
        "What is 2 + 2?",
        choices,
        answer,
        "Add.",
        "m",
        "r",
    )
    return spark.createDataFrame([row], DRAFT.schema)


def refined(spark, drafts, blind, judge=None, rewrite=None):
    """Run the refine stage on one draft with given blind answers (None = truncated), judge verdicts and rewrite."""
    asked = refine.blind_requests(drafts, SPEAKER, Refine(blind_attempts=len(blind)))
    ids = {r["attempt"]: r["request_id"] for r in asked.collect()}
    replies = [
        (
            ids[i],
            json.dumps({"solution": f"way {i}", "answer": a}) if a else '{"solu',
            "stop" if a else "length",
            None,
        )
        for i, a in enumerate(blind)
    ]
    votes = refine.votes(drafts, asked, ledger(spark, replies)).cache()
    judged = refine.judge_requests(votes, SPEAKER)
    verdicts = [(r["request_id"], (judge or {})[r["position"]], "stop", None) for r in judged.collect()]
    decided, rejects = refine.decide(votes, judged, ledger(spark, verdicts))
    decided = decided.cache()
    rewrites = refine.rewrite_requests(decided, SPEAKER, Refine())
    texts = [(r["request_id"], json.dumps(rewrite) if rewrite else "", "stop", None) for r in rewrites.collect()]
    return refine.finish(decided, rewrites, ledger(spark, texts)).collect(), rejects.collect()


def test_refine_blind_prompt_shows_question_only(spark):
    [row] = refine.blind_requests(draft(spark), SPEAKER, Refine(blind_attempts=1)).collect()
    assert "What is 2 + 2?" in row["prompt"] and "Add." not in row["prompt"]


def test_refine_majority_for_the_draft_is_agreed_and_rewritten(spark):
    [row], rejects = refined(spark, draft(spark), ["4", "4.0", "5"], rewrite={"solution": "Count on.", "answer": "4"})
    assert (row["status"], row["answer"], row["draft_answer"], row["votes"]) == ("agreed", "4", "4", 2)
    assert (row["rewrite"], row["solution"], rejects) == ("rewritten", "Count on.", [])
    assert set(row.asDict()) == set(REFINED.schema.names) and len(row["request_ids"]) == 4


def test_refine_majority_against_the_draft_is_corrected_and_marked(spark):
    [row], _ = refined(spark, draft(spark, answer="5"), ["4", "4", "5"], rewrite={"solution": "x", "answer": "7"})
    assert (row["status"], row["answer"], row["draft_answer"], row["votes"]) == ("corrected", "4", "5", 2)
    assert (row["rewrite"], row["solution"]) == ("kept: the rewrite changed the answer", "way 0")


def test_refine_no_majority_is_disputed_with_the_answers_as_evidence(spark):
    rows, [reject] = refined(spark, draft(spark), ["5", "6", "7"])
    assert (rows, reject["rule"], reject["key"]) == ([], "disputed", "d")
    assert '["5","6","7"]' in reject["evidence"] and len(set(reject["request_ids"])) == 3


def test_refine_truncated_attempts_are_no_votes(spark):
    rows, [reject] = refined(spark, draft(spark), ["4", None, None])
    assert (rows, reject["rule"]) == ([], "disputed")
    rows, [reject] = refined(spark, draft(spark), [None, None, None])
    assert reject["rule"] == "no_blind_answer"


def test_refine_judge_decides_what_the_matcher_cannot(spark):
    drafts = draft(spark, answer="because of gravity")
    [row], _ = refined(spark, drafts, ["gravity", "gravity", "magnets"], judge={0: "yes", 2: "no"}, rewrite=None)
    assert (row["status"], row["votes"], row["rewrite"]) == ("agreed", 2, "kept: no rewrite")


def test_refine_dispute_that_a_judge_decided_costs_the_attempts_and_the_judgements(spark):
    drafts = draft(spark, answer="because of gravity")
    rows, [reject] = refined(spark, drafts, ["magnets", "gravity", "magnetism"], judge=dict.fromkeys(range(3), "no"))
    assert (rows, reject["rule"], len(set(reject["request_ids"]))) == ([], "disputed", 6)


def test_refine_multiple_choice_compares_letters(spark):
    drafts = draft(spark, "multiple_choice", "B", ["3", "4", "5", "6"])
    [row], _ = refined(spark, drafts, ["B", "B", "A"], rewrite={"solution": "Count.", "answer": "B"})
    assert (row["status"], row["rewrite"]) == ("agreed", "rewritten")
