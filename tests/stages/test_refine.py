"""refine: every draft ends as a kept row or a reject, no answer changes silently."""

from typing import NamedTuple

import pytest

from boostqa.calls.models import ModelSpec
from boostqa.config import EngineSettings, Model, Refine
from boostqa.schemas import DRAFT, REFINED
from boostqa.stages import refine
from tests.rows import frame, ledger

SPEC = ModelSpec(Model(id="m"), EngineSettings())


class Case(NamedTuple):
    """A draft's answer, the blind answers to it (None: truncated), the judge's words by position, the rewrite."""

    answer: str
    blind: list
    judge: dict = {}  # noqa: RUF012
    rewrite: dict | None = None
    choices: list | None = None
    solution: str = "Add 2 + 2 by counting."


CASES = {
    "agreed": Case("4", ["4", "4.0", "5"], rewrite={"solution": "Count on: 2 + 2 = 4.", "answer": "4"}),
    "corrected": Case("5", ["4", "4", "4"], rewrite={"solution": "x", "answer": "7"}),
    "two against one": Case("5", ["4", "4", "5"]),
    "not known to differ": Case("because of gravity", ["magnets", "magnets", "magnets"], {0: None}),
    "no steps": Case(
        "4", ["4", "4", "4"], rewrite={"solution": "The final answer is 4.", "answer": "4"}, solution="So 4."
    ),
    "disputed": Case("4", ["5", "6", "7"]),
    "one of three": Case("4", ["4", None, None]),
    "all truncated": Case("4", [None, None, None]),
    "judged": Case("because of gravity", ["gravity", "gravity", "magnets"], {0: "yes", 2: "no"}),
    "judged apart": Case("because of gravity", ["magnets", "gravity", "magnetism"], dict.fromkeys(range(3), "no")),
    "broken rewrite": Case("4", ["4", "4", "4"], rewrite={"solution": "so 5 \x0c times 3 is 15", "answer": "4"}),
    "broken attempts": Case("4", ["a \bad word", "4", None]),
    "formulas": Case(
        r"\frac{1}{2}", [r"\frac{1}{2}", r"$\frac12$", "1"], rewrite={"solution": r"$2 * \theta < 3$", "answer": "0.5"}
    ),
    "control token": Case(
        "<\u2060/s>",
        ["</s>", "</s>", None],
        rewrite={"solution": "The end of a text is marked by the token </s>.", "answer": "</s>"},
    ),
    "letters": Case(
        "B",
        ["B", "B", "B"],
        rewrite={"solution": "Counting on gives 4 items.", "answer": "B"},
        choices=["3", "4", "5", "6"],
    ),
    "letters that may be guessed": Case("B", ["B", "B", "A"], choices=["3", "4", "5", "6"]),
    "one letter whatever it names": Case("B", ["B", "B", "B"], choices=["3", "4", "5", "7"]),
    "letters corrected": Case("B", ["C", "C", "C"], choices=["3", "5", "4", "6"]),
    "options that name letters": Case("D", ["D", "D", "D"], choices=["3", "4", "5", "Both A and B"]),
    "where (B) is meant": Case("B", ["B", "B", "B"], choices=["3", "4", "5", "6"]),
}
SHOWN = {
    "one letter whatever it names",
    "where (B) is meant",
}  # cases whose blind letters are those of the options as they were shown


def reply(solution, answer):
    return f"<solution>{solution}</solution>\n<answer>{answer}</answer>"


def draft(draft_id, answer="4", choices=None, **changes):
    question = f"What is 2 + 2 in case {draft_id}?"
    format = "multiple_choice" if choices else "short_answer"
    usual = {"draft_id": draft_id, "question": question, "solution": "Add.", "answer": answer, "choices": choices}
    return usual | {"format": format} | changes


@pytest.fixture(scope="module")
def refined(spark):
    """The refine stage over all cases: (kept rows, rejects), by draft_id."""
    drafts = frame(
        spark, DRAFT, *(draft(n, c.answer, c.choices, solution=c.solution) for n, c in CASES.items())
    ).cache()
    blind = refine.blind_requests(drafts, SPEC, Refine(blind_attempts=3)).cache()
    replies = []
    for r in blind.collect():
        case = CASES[r["draft_id"]]
        answer = case.blind[r["attempt"]]
        if case.choices and r["draft_id"] not in SHOWN:  # as the prompt has the options
            answer = next(x for x in "ABCD" if f"{x}. {case.choices['ABCD'.index(answer)]}" in r["prompt"].splitlines())
        text = reply(f"way {r['attempt']} of adding the numbers up", answer) if answer else "<solution>Add"
        replies.append((r["request_id"], text, "stop" if answer else "length", None))
    votes = refine.votes(drafts, blind, ledger(spark, replies), ["</s>"]).cache()
    judgements = refine.judge_requests(refine.undecided(votes), SPEC).cache()
    words = []
    for r in judgements.collect():
        word = CASES[r["draft_id"]].judge[r["position"]]
        words.append((r["request_id"], word or "yes", "stop" if word else "failed", None))
    judged = ledger(spark, words)
    decided, rejects = refine.decide(votes, judgements, judged, voter_is_trusted=True)
    doubted, _ = refine.decide(votes, judgements, judged, voter_is_trusted=False)
    assert {r["status"] for r in doubted.select("status").collect()} == {"agreed"}
    decided = decided.cache()
    rewrites = refine.rewrite_requests(decided, SPEC, Refine()).cache()
    texts = []
    for r in rewrites.collect():
        rewrite = CASES[r["draft_id"]].rewrite
        texts.append((r["request_id"], reply(**rewrite) if rewrite else "", "stop", None))
    kept, empty = refine.finish(decided, rewrites, ledger(spark, texts), ["</s>"])
    assert kept.columns == REFINED.schema.names
    return {r["draft_id"]: r for r in kept.collect()}, {r["key"]: r for r in rejects.unionByName(empty).collect()}


def test_refine_blind_prompt_shows_question_only(spark):
    [row] = refine.blind_requests(frame(spark, DRAFT, draft("d")), SPEC, Refine(blind_attempts=1)).collect()
    assert "What is 2 + 2 in case d?" in row["prompt"] and "Add." not in row["prompt"]


def test_refine_every_draft_is_kept_or_rejected_once(refined):
    kept, rejects = refined
    assert set(kept) | set(rejects) == set(CASES) and not set(kept) & set(rejects)


def test_refine_majority_for_the_draft_is_agreed_and_rewritten(refined):
    row = refined[0]["agreed"]
    assert (row["status"], row["answer"], row["draft_answer"], row["votes"]) == ("agreed", "4", "4", 2)
    assert (row["rewrite"], row["solution"], len(row["request_ids"])) == ("rewritten", "Count on: 2 + 2 = 4.", 4)


def test_refine_majority_against_the_draft_is_corrected_and_marked(refined):
    row = refined[0]["corrected"]
    assert (row["status"], row["answer"], row["draft_answer"], row["votes"]) == ("corrected", "4", "5", 3)
    assert (row["rewrite"], row["solution"]) == (
        "kept: the rewrite changed the answer",
        "way 0 of adding the numbers up",
    )


def test_refine_no_majority_is_disputed_with_the_answers_as_evidence(refined):
    reject = refined[1]["disputed"]
    assert reject["rule"] == "disputed" and len(set(reject["request_ids"])) == 3
    assert reject["evidence"] == 'draft: 4 | blind: ["5","6","7"]'


def test_refine_correction_needs_a_margin_and_an_answer_that_is_known_to_differ(refined):
    _, rejects = refined
    assert rejects["two against one"]["rule"] == rejects["not known to differ"]["rule"] == "disputed"


def test_refine_solution_that_only_repeats_the_answer_is_rejected(refined):
    reject = refined[1]["no steps"]
    assert (reject["rule"], reject["evidence"], len(reject["request_ids"])) == ("no_steps", "So 4.", 4)


def test_refine_truncated_attempts_are_no_votes(refined):
    _, rejects = refined
    assert rejects["one of three"]["rule"] == "disputed" and rejects["all truncated"]["rule"] == "no_blind_answer"


def test_refine_formulas_stay_as_they_are_and_broken_text_neither_votes_nor_is_used(refined):
    kept, rejects = refined
    assert (kept["formulas"]["votes"], kept["formulas"]["solution"]) == (2, r"$2 * \theta < 3$")
    assert kept["formulas"]["blind_answers"] == [r"\frac{1}{2}", r"$\frac12$", "1"]
    assert rejects["broken attempts"]["evidence"] == 'draft: 4 | blind: ["4"] | broken text: U+0008'
    assert (kept["broken rewrite"]["rewrite"], kept["broken rewrite"]["solution"]) == (
        "kept: broken text in the rewrite",
        "Add 2 + 2 by counting.",
    )


def test_refine_judge_decides_what_the_matcher_cannot(refined):
    row = refined[0]["judged"]
    assert (row["status"], row["votes"], row["rewrite"]) == ("agreed", 2, "kept: no rewrite")


def test_refine_dispute_that_a_judge_decided_costs_the_attempts_and_the_judgements(refined):
    reject = refined[1]["judged apart"]
    assert reject["rule"] == "disputed" and len(set(reject["request_ids"])) == 6


def test_refine_multiple_choice_compares_letters(refined):
    row = refined[0]["letters"]
    assert (row["status"], row["rewrite"]) == ("agreed", "rewritten")


def test_refine_letters_that_a_guesser_would_give_confirm_nothing(refined):
    kept, rejects = refined
    assert rejects["letters that may be guessed"]["evidence"] == 'draft: B | blind: ["B","B","A"]'
    assert rejects["one letter whatever it names"]["rule"] == "disputed"
    assert kept["letters corrected"]["answer"] == "C" and kept["options that name letters"]["answer"] == "D"
    assert kept["where (B) is meant"]["answer"] == "B"  # a question that names a letter keeps its options in place
    assert [refine.votes_needed(n, 4) for n in range(1, 8)] == [1, 2, 3, 3, 4, 4, 5]
    assert [refine.votes_needed(n, 2) for n in (3, 5, 7)] == [3, 5, 6]


def test_refine_control_tokens_are_escaped_and_agree_with_an_escaped_draft(refined):
    row = refined[0]["control token"]
    assert (row["status"], row["votes"], row["rewrite"]) == ("agreed", 2, "rewritten")
    assert (row["answer"], row["solution"]) == ("<\u2060/s>", "The end of a text is marked by the token <\u2060/s>.")
