"""synthesize and refine: every request ends as a draft or a reject, no answer changes silently."""

import json
from typing import NamedTuple

import pytest

from boostqa.calls.models import ModelSpec
from boostqa.config import EngineSettings, Model, Refine, Synthesize
from boostqa.schemas import DRAFT, PLAN, REFINED, SEED
from boostqa.stages import deduplicate, refine, synthesize
from tests.rows import frame

SPEC = ModelSpec(Model(id="m"), EngineSettings())
REJECTS = "stage string, key string, rule string, evidence string, request_ids array<string>"
OPEN = "<question>What is 2 + 2?</question>\n<solution>Add.</solution>\n<answer>4</answer>"
CHOICE = (
    "<question>2 + 2?</question>\n<A>3</A>\n<B>4</B>\n<C>5</C>\n<D>6</D>\n<solution>Add.</solution>\n<answer>B</answer>"
)
CONF = Synthesize(retries=1)


def ledger(spark, rows):
    """(request_id, text, finish_reason, error) as the ledger's columns that parsing reads."""
    return spark.createDataFrame(rows, "request_id string, text string, finish_reason string, error string")


ASKED = "seed_id string, asked array<string>"
PASSAGE = "Two and two make four, whoever adds them and in whichever order that may be. See Figure 2.3 for a sketch."


def planned(spark, *formats):
    rows = [(f"p{i}", "s", "en", "0541", "H4", "high_difficulty", f, "several_steps", i) for i, f in enumerate(formats)]
    return spark.createDataFrame(rows, PLAN.schema)


def material(spark, plan, conf=CONF, **seed):
    seeds = frame(spark, SEED, {"seed_id": "s", "doc_id": "d", "title": "Sums", "text": PASSAGE} | seed)
    labels = spark.createDataFrame([("s", "0541", "H3")], "seed_id string, discipline string, difficulty string")
    return synthesize.with_material(plan, seeds, labels, conf)


def asked(spark, *formats, before=(), **seed):
    earlier = spark.createDataFrame([("s", list(before))] if before else [], ASKED)
    return synthesize.requests(material(spark, planned(spark, *formats), **seed), earlier, SPEC, CONF)


def parsed(requests, completions, tokens=(), conf=CONF):
    return synthesize.drafts_and_rejects(synthesize.tried(requests, completions, tokens), conf)


def test_synthesize_prompt_names_grade_format_lever_and_material(spark):
    [row] = asked(spark, "proof").collect()
    for part in (
        "undergraduate students",
        "proof problem",
        'begins with "Prove that" and states one true claim',
        "at least four dependent steps",
        "Topic: Sums",
        "whichever order that may be.",
        "Mathematics",
    ):
        assert part in row["prompt"]
    assert "Figure" not in row["prompt"] and "asked already" not in row["prompt"]
    assert "<A>" not in json.loads(row["structured"])["grammar"]


def test_synthesize_question_seed_shows_no_answer_and_later_samples_what_was_asked(spark):
    known = {"kind": "qa", "text": "What is 6 x 7?\nAnswer: 42", "question": "What is 6 x 7?", "answer": "42"}
    [row] = asked(spark, "short_answer", before=["What is 5 x 8?"], **known).collect()
    assert "What is 6 x 7?" in row["prompt"] and "42" not in row["prompt"]
    assert "asked already, so ask for something else:\n- What is 5 x 8?" in row["prompt"]


OWN_NUMBERS = (
    "The learner sees nothing but your question: put all facts, numbers and definitions that are needed into it."
)
BAD = [
    ("short_answer", OPEN[:30], "length", "truncated"),
    ("short_answer", "2 + 2 is 4.", "stop", "unparsable"),
    ("short_answer", OPEN.replace("Add.", " "), "stop", "unparsable"),
    ("multiple_choice", CHOICE.replace(">5<", ">3<"), "stop", "choices_invalid"),
    ("short_answer", "", "refused", "generation_failed"),
    ("short_answer", " \n", "stop", "empty"),
    ("short_answer", OPEN.replace("Add.", "Add \x07 \ufffd."), "stop", "broken_text"),
    ("short_answer", OPEN.replace("Add.", "Add \x00."), "stop", "broken_text"),
    ("short_answer", "I'm sorry, but I can't help with that.", "stop", "refusal"),
    ("short_answer", OPEN.replace("What is 2", "I cannot create a question. 2"), "stop", "refusal"),
    ("short_answer", OPEN.replace("What is 2 + 2?", "抱歉，我无法回答。"), "stop", "refusal"),
    ("short_answer", OPEN.replace("What is 2 + 2?", PASSAGE[:80]), "stop", "copies_seed"),
    ("short_answer", OPEN.replace("What is 2", OWN_NUMBERS + " What is 2"), "stop", "copies_prompt"),
]


def test_synthesize_bad_completion_is_one_reject(spark):
    requests = asked(spark, *(format for format, *_ in BAD)).cache()
    ids = {r["plan_id"]: r["request_id"] for r in requests.select("plan_id", "request_id").collect()}
    answers = [
        (ids[f"p{i}"], text, finish, "prompt_too_long" if finish == "refused" else None)
        for i, (_, text, finish, _) in enumerate(BAD)
    ]
    drafts, rejects = parsed(requests, ledger(spark, answers), conf=Synthesize(retries=0))
    found = {r["key"]: (r["rule"], r["request_ids"]) for r in rejects.collect()}
    assert found == {f"p{i}": (rule, [ids[f"p{i}"]]) for i, (*_, rule) in enumerate(BAD)}
    assert drafts.count() == 0


def test_synthesize_failed_try_is_made_once_more_as_another_request_and_keeps_its_cost(spark):
    """Cut off, then well; cut off twice; refused at once: a plan row ends as one draft or one reject under its own id."""
    rows = material(spark, planned(spark, "short_answer", "proof", "explanation")).cache()
    nothing = spark.createDataFrame([], ASKED)
    first = synthesize.requests(rows, nothing, SPEC, CONF).cache()
    ids = {r["plan_id"]: r["request_id"] for r in first.select("plan_id", "request_id").collect()}
    endings = [("p0", "length", None), ("p1", "length", None), ("p2", "refused", "prompt_too_long")]
    one = synthesize.tried(first, ledger(spark, [(ids[p], OPEN[:9], finish, error) for p, finish, error in endings]))
    due = synthesize.again(one.cache(), rows, CONF)
    second = synthesize.requests(due, synthesize.asked(one), SPEC, CONF).cache()
    new = {r["plan_id"]: r["request_id"] for r in second.select("plan_id", "request_id").collect()}
    assert set(new) == {"p0", "p1"} and not set(new.values()) & set(ids.values())
    two = synthesize.tried(second, ledger(spark, [(new["p0"], OPEN, "stop", None), (new["p1"], "{", "length", None)]))
    assert synthesize.again(two.cache(), rows, CONF).count() == 0
    assert synthesize.asked(one.unionByName(two)).first()["asked"] == ["What is 2 + 2?"]
    drafts, rejects = synthesize.drafts_and_rejects(one.unionByName(two), CONF)
    [draft] = drafts.collect()
    assert (draft["plan_id"], draft["request_id"]) == ("p0", new["p0"])
    ended = {r["key"]: (r["rule"], r["request_ids"]) for r in rejects.collect()}
    assert {key: found for key, found in ended.items() if key.startswith("p")} == {
        "p1": ("truncated", [new["p1"]]), "p2": ("generation_failed", [ids["p2"]])
    }  # fmt: skip
    further = sorted(found for key, found in ended.items() if not key.startswith("p"))
    assert further == sorted(("truncated", [ids[p]]) for p in ("p0", "p1"))


def test_synthesize_same_question_twice_is_one_draft(spark):
    drafts = frame(
        spark,
        DRAFT,
        {"draft_id": "a"},
        {"draft_id": "b", "question": "WHY is the sky blue"},
        {"draft_id": "c", "question": "Why?"},
    )
    kept, rejects = synthesize.without_copies(drafts, deduplicate.exact(synthesize.as_questions(drafts)))
    [reject] = rejects.collect()
    assert (reject["rule"], {r["draft_id"] for r in kept.collect()}) == ("exact_duplicate", {reject["evidence"], "c"})


def test_synthesize_text_stays_as_it_was_written(spark):
    """LaTeX, quotation marks, line breaks, a relation."""
    solution = 'Add $\\frac{1}{2} \\neq \\rho$, "so" if a < b.\n\nAnswer: no, wait.\n\t\\underline{it}.'
    written = (
        OPEN.replace("What is 2 + 2?", " Is $\\times$ {so}? ")
        .replace("Add.", solution)
        .replace("4", "$5 \\times 10^3$")
    )
    rows = asked(spark, "short_answer")
    drafts, _ = parsed(rows, ledger(spark, [(rows.first()["request_id"], written, "stop", None)]))
    [draft] = drafts.collect()
    assert (draft["question"], draft["answer"]) == ("Is $\\times$ {so}?", "$5 \\times 10^3$")
    assert draft["solution"] == solution


def test_synthesize_question_about_being_sorry_is_no_refusal(spark):
    rows = asked(spark, "short_answer")
    text = OPEN.replace("What is 2 + 2?", "Why is 'I'm sorry' an apology? Formulas use \t tabs.")
    drafts, rejects = parsed(rows, ledger(spark, [(rows.first()["request_id"], text, "stop", None)]))
    assert (drafts.count(), rejects.count()) == (1, 0)


def test_synthesize_control_tokens_are_escaped_in_every_field(spark):
    rows = asked(spark, "multiple_choice")
    text = CHOICE.replace("2 + 2?", "What ends <s>?").replace(">3<", "></s><").replace("Add.", "</s>")
    drafts, _ = parsed(rows, ledger(spark, [(rows.first()["request_id"], text, "stop", None)]), ["</s>"])
    [row] = drafts.collect()
    assert (row["question"], row["choices"][0], row["solution"]) == ("What ends <s>?", "<\u2060/s>", "<\u2060/s>")


def test_refine_control_tokens_are_escaped_and_agree_with_an_escaped_draft(refined):
    row = refined[0]["control token"]
    assert (row["status"], row["votes"], row["rewrite"]) == ("agreed", 2, "rewritten")
    assert (row["answer"], row["solution"]) == ("<\u2060/s>", "The end of a text is marked by the token <\u2060/s>.")


def test_synthesize_good_completions_become_drafts_with_measured_difficulty(spark):
    rows = asked(spark, "multiple_choice", "short_answer")
    ids = {r["format"]: r["request_id"] for r in rows.collect()}
    answers = ledger(spark, [(ids["multiple_choice"], CHOICE, "stop", None), (ids["short_answer"], OPEN, "stop", None)])
    drafts, rejects = parsed(rows, answers)
    assert rejects.count() == 0
    got = {r["format"]: r for r in drafts.collect()}
    assert got["multiple_choice"]["choices"] == ["3", "4", "5", "6"] and got["short_answer"]["choices"] is None
    labels = spark.createDataFrame(
        [(r["draft_id"], d) for r, d in zip(got.values(), ("H4", "H1"), strict=True)],
        "item_id string, difficulty string",
    )
    none = spark.createDataFrame([], REJECTS)
    kept, below = synthesize.with_difficulty(drafts, labels, none, Synthesize(below_aim="reject"))
    assert [(r["grade"], r["difficulty"]) for r in kept.collect()] == [("H4", "H4")]
    [reject] = below.collect()
    assert (reject["rule"], reject["evidence"]) == ("below_aim", "aimed at H4, measured H1")
    easy = next(r for r in got.values() if r["draft_id"] == reject["key"])
    assert reject["request_ids"] == [easy["request_id"]]
    assert synthesize.with_difficulty(drafts, labels, none, Synthesize(below_aim="keep"))[0].count() == 2


def test_synthesize_draft_without_label_is_rejected_with_its_own_request_and_the_labels(spark):
    rows = asked(spark, "short_answer")
    request_id = rows.first()["request_id"]
    drafts, _ = parsed(rows, ledger(spark, [(request_id, OPEN, "stop", None)]))
    draft_id = drafts.first()["draft_id"]
    unlabelled = [("synthesize", draft_id, "difficulty_cannot_tell", "none of the labels", ["l1", "l2"])]
    labels = spark.createDataFrame([], "item_id string, difficulty string")
    kept, rejects = synthesize.with_difficulty(drafts, labels, spark.createDataFrame(unlabelled, REJECTS), Synthesize())
    [row] = rejects.collect()
    assert (kept.count(), row["key"], row["rule"]) == (0, draft_id, "difficulty_cannot_tell")
    assert row["request_ids"] == [request_id, "l1", "l2"]


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
        ["B", "B", "A"],
        rewrite={"solution": "Counting on gives 4 items.", "answer": "B"},
        choices=["3", "4", "5", "6"],
    ),
}


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
        answer = CASES[r["draft_id"]].blind[r["attempt"]]
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
