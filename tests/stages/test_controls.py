"""controls and power: known items become drafts to every check, and what the checks make of them is counted."""

import pytest

from boostqa.config import Controls
from boostqa.schemas import CONTROL, PLAN, POWER, REFINED, SEED
from boostqa.stages import controls, power
from tests.rows import frame

REPLY = "struct<attempt:int,answer:string,solution:string,broken:string,request_id:string>"
ITEM = "benchmark string, item_id string, lang string, question string, choices array<string>, answer string, solution string, discipline string, difficulty string"


def item(n, answer="7", choices=None, lang="en", solution=None):
    question = f"Tom has {n + 9} apples and gives 5 of them to his sister Ann. How many are left?"
    return ("public", str(n), lang, question, choices, answer, solution, None, None)


@pytest.fixture(scope="module")
def made(spark):
    """80 items, every second one answered wrongly by the generator: (drawn, made), by origin."""
    items = [item(n) for n in range(70)] + [item(n, "B", ["5", "7", "8", "9"]) for n in range(70, 80)]
    items += [item(90, None), item(91, "E", ["1", "2", "3", "4", "5"]), item(92, lang="zh")]
    plan = frame(spark, PLAN, {"plan_id": "p", "seed_id": "s", "grade": "H2"}, {"plan_id": "q", "seed_id": "s"})
    drawn = controls.draw(spark.createDataFrame(items, ITEM), plan, Controls(count=100)).cache()
    rows = [
        (r["draft_id"], [(3, "70" if i % 2 else "7", f"way {i}", None, f"r{i}")], [i % 2 == 0], [0])
        for i, r in enumerate(drawn.orderBy("origin").collect())
    ]
    answers = spark.createDataFrame(
        rows, f"draft_id string, attempts array<{REPLY}>, equal array<boolean>, leader array<int>"
    )
    answered = drawn.join(answers, "draft_id").withColumn("blind", answers["attempts"])
    seed = {"seed_id": "other", "question": "How fast is a car that drives 18 km in 2 hours?", "answer": "9 km/h"}
    leaks = spark.createDataFrame([item(500, "B", ["Mars", "Io"])], ITEM)
    every = controls.make(answered, frame(spark, SEED, seed, {}), leaks, Controls(positive_share=0.4))
    assert every.columns == CONTROL.schema.names
    return drawn.collect(), every.collect()


def test_draw_takes_items_with_a_known_answer_in_a_form_and_language_of_drafts(made):
    drawn, _ = made
    assert len(drawn) == len({r["draft_id"] for r in drawn}) == 80
    assert {r["format"] for r in drawn} == {"calculation", "multiple_choice"}
    assert {(r["seed_id"], r["difficulty"], r["solution"]) for r in drawn} == {("s", "H2", ""), ("s", "H4", "")}


def test_make_gives_each_item_one_part_and_keeps_the_known_answer(made):
    drawn, every = made
    known = {r["origin"]: r for r in drawn}
    assert {r["origin"] for r in every} == set(known) and len(every) == len(known)
    kinds = {r["defect"] for r in every}
    assert {"none", "writer_error", "seed_copy", "benchmark_leak", "shuffled"} <= kinds
    for r in every:
        assert r["known_answer"] == known[r["origin"]]["answer"] and r["stage"] == "synthesize" and r["rule"] is None
        assert r["request_ids"] == [r["request_id"]]
        if r["defect"] == "writer_error":
            assert (r["answer"], r["question"]) == ("70", known[r["origin"]]["question"])
        if r["defect"] == "none":
            assert (r["answer"], r["question"]) == (r["known_answer"], known[r["origin"]]["question"])
            assert r["solution"] == "" or int(r["request_id"][1:]) % 2 == 0
        assert (r["seed_id"] == "other") == (r["defect"] in ("seed_copy", "seed_near_copy"))
        assert (r["format"] == "multiple_choice") == (r["choices"] is not None)


def test_after_a_stage_a_control_knows_what_stopped_it_and_what_it_cost(spark):
    went_in = frame(spark, CONTROL, *({"draft_id": d, "request_ids": ["w"]} for d in "ab"))
    rejects = spark.createDataFrame(
        [("b", "disputed", "3 against 0", ["v", "w"])],
        "key string, rule string, evidence string, request_ids array<string>",
    )
    a, b = controls.after(went_in, "refine", rejects).orderBy("draft_id").collect()
    assert (a["stage"], a["rule"], a["request_ids"]) == ("refine", None, ["w"])
    assert (b["rule"], b["evidence"], b["request_ids"]) == ("disputed", "3 against 0", ["w", "v"])


def test_a_correction_by_refine_stops_a_control_unless_it_leaves_a_wrong_answer(spark):
    wrong = {"defect": "wrong_answer", "answer": "8", "known_answer": "7", "request_ids": ["w"]}
    went_in = frame(
        spark, CONTROL,
        *({"draft_id": "mended"} | wrong, {"draft_id": "worse"} | wrong, {"draft_id": "kept"} | wrong),
        wrong | {"draft_id": "good", "defect": "none", "answer": "7"}, {"draft_id": "gone"} | wrong,
    )  # fmt: skip
    made = {
        "mended": ("7.0", "corrected"),
        "worse": ("9", "corrected"),
        "kept": ("8", "agreed"),
        "good": ("9", "corrected"),
    }
    kept = frame(
        spark, REFINED, *({"draft_id": d, "answer": a, "status": s, "request_ids": ["v"]} for d, (a, s) in made.items())
    )
    rejects = spark.createDataFrame(
        [("gone", "disputed", "8", ["v"])], "key string, rule string, evidence string, request_ids array<string>"
    )
    found = {r["draft_id"]: r for r in controls.refined(went_in, kept, rejects).collect()}
    assert {d: r["rule"] for d, r in found.items()} == {
        "mended": "corrected", "worse": None, "kept": None, "good": "corrected", "gone": "disputed"
    }  # fmt: skip
    assert found["mended"]["evidence"] == "draft: 8 | corrected: 7.0" and found["worse"]["answer"] == "9"
    assert {tuple(r["request_ids"]) for r in found.values()} == {("w", "v")}


def test_power_counts_what_passed_the_line_and_what_each_rule_stopped(spark):
    rows = [
        {"draft_id": "p1", "defect": "none", "stage": "synthesize"},
        {"draft_id": "p1", "defect": "none", "stage": "clean", "request_ids": ["x", "y"]},
        {"draft_id": "p2", "defect": "none", "stage": "refine", "rule": "disputed", "request_ids": ["x"]},
        {"draft_id": "n1", "defect": "cut_off", "stage": "synthesize", "rule": "unfinished"},
    ]
    ledger = spark.createDataFrame([("x", 5), ("y", 2)], "request_id string, generated_tokens long")
    found = controls_power = power.power(frame(spark, CONTROL, *rows), ledger)
    assert controls_power.columns == POWER.schema.names
    got = {(r["check"], r["defect"]): (r["items"], r["passed"], r["tokens"]) for r in found.collect()}
    assert got == {
        ("line", "none"): (2, 1, 12), ("line", "cut_off"): (1, 0, 0), ("disputed", "none"): (2, 1, 0),
        ("disputed", "cut_off"): (1, 1, 0), ("unfinished", "none"): (2, 2, 0), ("unfinished", "cut_off"): (1, 0, 0),
    }  # fmt: skip


def test_voter_and_judge_are_trusted_only_where_they_tell_known_things_apart(spark):
    positive = frame(spark, CONTROL, *({"draft_id": f"d{i}", "defect": "none", "format": "multiple_choice",
        "choices": [f"{i} m", "b", "c", "d"], "known_answer": "A", "origin": f"o{i}"} for i in range(40)))  # fmt: skip
    attempt = spark.createDataFrame(
        [
            (f"d{i}", [(0, "A" if i else None, "", None, "r")], [True] if i else [], "multiple_choice", "m")
            for i in range(40)
        ],
        f"draft_id string, attempts array<{REPLY}>, equal array<boolean>, format string, refiner string",
    )
    [voter] = power.voter_power(attempt, positive).collect()
    assert (voter["items"], voter["passed"], voter["chance"], voter["model"]) == (40, 39, 0.25, "m")
    pairs = power.known_pairs(positive).withColumns({"request_id": power.F.col("draft_id"), "model": power.F.lit("j")})
    found = pairs.collect()
    assert len(found) == 40 and 10 < sum(r["defect"] == "equal" for r in found) < 30
    assert all((r["second"] == f"So the answer is {r['first']}.") == (r["defect"] == "equal") for r in found)
    assert all(r["first"] != r["second"] for r in found)

    def judge(says):
        said = [(r["draft_id"], says(r["defect"])) for r in found]
        return [
            r.asDict()
            for r in power.judge_power(pairs, spark.createDataFrame(said, "request_id string, same boolean")).collect()
        ]

    assert power.voter_is_trusted([voter.asDict()]) and not power.voter_is_trusted([])
    assert not power.voter_is_trusted([voter.asDict() | {"wilson_low": 0.2}])
    assert power.judge_is_trusted(judge(lambda defect: defect == "equal"))
    assert not power.judge_is_trusted(judge(lambda defect: True))
    assert not power.judge_is_trusted(judge(lambda defect: None))


def test_what_the_judge_was_asked_about_a_control_is_among_its_costs(spark):
    known = frame(spark, CONTROL, {"draft_id": "a", "request_ids": ["r"]}, {"draft_id": "b", "request_ids": ["q"]})
    asked = spark.createDataFrame([("a", "j"), ("a", "r")], "draft_id string, request_id string")
    costs = {r["draft_id"]: r["request_ids"] for r in controls.charged(known, asked).collect()}
    assert costs == {"a": ["r", "j"], "b": ["q"]}


def test_duplicate_of_a_control_counts_for_a_control_only_where_that_is_stopped_itself(spark):
    known = frame(spark, CONTROL, *({"draft_id": x} for x in ("c1", "c2", "c3", "c4")))
    rejects = [("c1", "seed"), ("c2", "c1"), ("c4", "c3"), ("draft", "c1"), ("other", "draft"), ("unfit", None)]
    rows = spark.createDataFrame(rejects, "key string, evidence string")
    found = {r["key"] for r in controls.without_lookalikes(rows, known).collect()}
    assert found == {"c1", "c2", "other", "unfit"}
