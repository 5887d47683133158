"""plan: what seeds bear, tokens per cell -> requests."""

from pyspark.sql import functions as F

from boostqa.config import Plan
from boostqa.stages import plan
from boostqa.yields import LEVELS, estimates

CONF = Plan(tokens=1000, high_difficulty_share=0.5, kept_tokens_per_request=10, max_requests_per_seed=12)
LABELLED = "seed_id string, lang string, discipline string, difficulty string, tokens int, text string"
LONG = 400  # tokens: enough for every request of a seed


def seeds(spark, *disciplines, difficulty="H3"):
    rows = [(f"s{i}", "en", d, difficulty, LONG, "v = 3 m/s") for i, d in enumerate(disciplines)]
    return spark.createDataFrame(rows, LABELLED)


def with_kept(slots):
    return slots.withColumn("kept", F.lit(10.0))


def planned(spark, labelled, requests, conf=CONF):
    """PLAN rows where the cells {(discipline, grade): requests} are asked for."""
    cells = spark.createDataFrame(
        [(*cell, n) for cell, n in requests.items()], "discipline string, difficulty string, requests int"
    )
    return plan.plan(cells, plan.slots(labelled, conf)).collect()


def test_cells_count_every_question_of_a_seed_once(spark):
    """A cell for each grade of STEM and for the high ones of other fields; a seed of H3 bears H2 to H5."""
    labelled = seeds(spark, "0533", "0533", "0222")
    got = {
        (r["discipline"], r["difficulty"]): (r["seeds"], r["bearing_seeds"], r["questions"])
        for r in plan.cells(labelled, with_kept(plan.slots(labelled, CONF))).collect()
    }
    assert got == {
        ("0533", "H1"): (2, 0, 0), **{("0533", f"H{n}"): (2, 2, 6) for n in range(2, 6)},
        ("0222", "H4"): (1, 1, 6), ("0222", "H5"): (1, 1, 6),
    }  # fmt: skip


def test_plan_gives_each_cell_its_requests_and_every_seed_before_any_twice(spark):
    requests = {("0533", f"H{n}"): 4 for n in range(2, 6)} | {("0222", "H5"): 3}
    counts: dict = {}
    rows = planned(spark, seeds(spark, "0533", "0533", "0222"), requests)
    for r in rows:
        counts.setdefault((r["discipline"], r["grade"]), []).append(r["seed_id"])
    assert {k: len(v) for k, v in counts.items()} == requests
    assert all(sorted(v) == ["s0", "s0", "s1", "s1"] for k, v in counts.items() if k[0] == "0533")
    assert len({r["plan_id"] for r in rows}) == len(rows)


def test_plan_strategy_lever_and_format_fit_the_cell(spark):
    requests = {("0533", f"H{n}"): 20 for n in range(2, 6)} | {("0222", "H4"): 9, ("0222", "H5"): 9}
    rows = planned(spark, seeds(spark, *["0533"] * 6, *["0222"] * 2), requests)
    for r in rows:
        assert (r["lever"] is None) == (r["strategy"] == "multi_grade")
        if r["grade"] in ("H1", "H2", "H3"):
            assert r["strategy"] == "multi_grade" and r["discipline"] == "0533"
        if r["discipline"] == "0222":
            assert r["format"] not in ("programming", "calculation", "proof")
    assert {r["strategy"] for r in rows if r["discipline"] == "0533" and r["grade"] == "H4"} == {
        "multi_grade",
        "high_difficulty",
    }


def test_plan_one_more_seed_moves_no_other_request_whatever_the_row_order(spark):
    before, after = seeds(spark, *["0533"] * 5), seeds(spark, *["0533"] * 6)
    cell = ("0533", "H4")
    first = {r["plan_id"] for r in planned(spark, before, {cell: 15})}  # all that they bear
    more = {
        r["plan_id"]: r["seed_id"] for r in planned(spark, after.orderBy(F.desc("seed_id")).repartition(3), {cell: 18})
    }
    assert len(first) == 15 and {i for i, seed in more.items() if seed != "s5"} == first
    few = {r["plan_id"] for r in planned(spark, before, {cell: 7})}
    assert (
        len(few - {r["plan_id"] for r in planned(spark, after, {cell: 7})}) <= 2
    )  # the new seed's own take their places


def test_plan_seed_is_asked_for_what_it_bears(spark):
    """A level near its own; proofs, programs and calculations where the subject and the text have them; one question of
    a short text at each."""
    rows = [
        ("relativity", "en", "0533", "H4", LONG, "Since 1905 light has one speed; see section 3"),
        ("stickers", "en", "0541", "H1", 20, "Lena has 24 stickers and gives away 7"),
        ("sorting", "en", "0613", "H3", 130, "Sort by comparing neighbours"),
        ("history", "en", "0222", "H2", LONG, "The treaty of 1648 ended it"),
        ("tales", "en", "0222", "H1", LONG, "Once upon a time"),
    ]
    borne = plan.slots(spark.createDataFrame(rows, LABELLED), CONF).collect()
    grades: dict = {}
    for r in borne:
        grades.setdefault(r["seed_id"], []).append(r["grade"])
    assert {seed: "".join(sorted(found)).replace("H", "") for seed, found in grades.items()} == {
        "relativity": "333344445555", "stickers": "123", "sorting": "22334455", "history": "444444"
    }  # fmt: skip
    formats = {(r["seed_id"], r["grade"]): set(r["formats"]) for r in borne}
    always = {"multiple_choice", "short_answer", "explanation"}
    assert formats["relativity", "H4"] == always | {"proof"}  # a year is no quantity
    assert formats["stickers", "H2"] == always | {"calculation"}
    assert formats["stickers", "H3"] == always | {"calculation", "proof"}
    assert formats["sorting", "H2"] == always | {"programming"} and formats["history", "H4"] == always
    assert sorted(r["sample_index"] for r in borne if r["seed_id"] == "relativity" and r["grade"] == "H5") == [
        0,
        1,
        2,
        3,
    ]


def test_a_question_of_an_earlier_round_is_not_asked_again_and_yields_go_by_kind(spark):
    labelled = seeds(spark, "0533", "0222")
    every = plan.slots(labelled, CONF)
    first = every.where("seed_id = 's0' and grade = 'H4'")
    left = plan.unused(every, first)
    assert (
        left.count() == every.count() - first.count() > 0 and left.where("seed_id = 's0' and grade = 'H4'").count() == 0
    )
    kind = {"strategy": "multi_grade", "format": "calculation", "grade": "H3", "lang": "en"}
    other = kind | {"strategy": "high_difficulty", "grade": "H4"}
    made = [
        kind | {"requests": 1000, "tokens": 90_000, "squares": 90_000 * 100},
        other | {"requests": 1000, "tokens": 10_000, "squares": 10_000 * 20},
    ]
    rows = plan.with_yields(every, made, 50).collect()
    by = {(r["strategy"], round(r["kept"])) for r in rows}
    assert len(rows) == every.count() and by == {("multi_grade", 90), ("high_difficulty", 10)}
    assert {r["kept"] for r in plan.with_yields(every, [], 50).collect()} == {50.0}
    found = estimates(
        made, 50
    )  # of other formats, levels and languages the strategy's counts, of another strategy the root
    kinds = [("multi_grade", "programming", "H1", "zh"), ("another", "proof", "H4", "en"), tuple(kind.values())]
    rows = spark.createDataFrame(kinds, ", ".join(f"{name} string" for name in LEVELS))
    kept = [r["kept"] for r in plan.with_yields(rows, made, 50).collect()]
    assert kept == [found["multi_grade",], found[()], found[tuple(kind.values())]]
