"""synthesize: every request ends as a draft or a reject."""

import json

from boostqa.calls.models import ModelSpec
from boostqa.config import EngineSettings, Model, Synthesize
from boostqa.schemas import DRAFT, PLAN, SEED
from boostqa.stages import deduplicate, synthesize
from tests.rows import frame, ledger

SPEC = ModelSpec(Model(id="m"), EngineSettings())
REJECTS = "stage string, key string, rule string, evidence string, request_ids array<string>"
OPEN = "<question>What is 2 + 2?</question>\n<solution>Add.</solution>\n<answer>4</answer>"
CHOICE = (
    "<question>2 + 2?</question>\n<solution>Add.</solution>\n<A>3</A>\n<B>4</B>\n<C>5</C>\n<D>6</D>\n<answer>B</answer>"
)
CONF = Synthesize(retries=1)


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


def test_synthesize_options_are_drawn_into_an_order_of_their_own_unless_the_text_names_them(spark):
    """The right option keeps its text under another letter; every letter turns up."""
    a_ball = CHOICE.replace("Add.", "A ball and $x_B$ at 5 °C.")
    texts = [a_ball] * 24 + [
        CHOICE.replace("Add.", words) for words in ("So option B.", "It is (B).", "B is right.", "A is not.")
    ]
    requests = asked(spark, *["multiple_choice"] * len(texts)).cache()
    ids = {r["plan_id"]: r["request_id"] for r in requests.select("plan_id", "request_id").collect()}
    drafts, _ = parsed(requests, ledger(spark, [(ids[f"p{i}"], text, "stop", None) for i, text in enumerate(texts)]))
    rows = {r["plan_id"]: (r["answer"], r["choices"]) for r in drafts.collect()}
    assert all(
        choices["ABCD".index(answer)] == "4" and sorted(choices) == ["3", "4", "5", "6"]
        for answer, choices in rows.values()
    )
    assert {rows[f"p{i}"][0] for i in range(24)} == set("ABCD")
    assert all(rows[f"p{i}"] == ("B", ["3", "4", "5", "6"]) for i in range(24, len(texts)))


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
    assert (row["question"], row["solution"]) == ("What ends <s>?", "<\u2060/s>")
    assert "<\u2060/s>" in row["choices"]


def test_synthesize_good_completions_become_drafts(spark):
    rows = asked(spark, "multiple_choice", "short_answer")
    ids = {r["format"]: r["request_id"] for r in rows.collect()}
    answers = ledger(spark, [(ids["multiple_choice"], CHOICE, "stop", None), (ids["short_answer"], OPEN, "stop", None)])
    drafts, rejects = parsed(rows, answers)
    assert rejects.count() == 0
    got = {r["format"]: r for r in drafts.collect()}
    assert sorted(got["multiple_choice"]["choices"]) == ["3", "4", "5", "6"] and got["short_answer"]["choices"] is None
