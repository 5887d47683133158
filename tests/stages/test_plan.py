"""plan: deficits -> tokens per cell -> requests."""

import pytest
from pyspark.sql import functions as F

from boostqa.config import Plan
from boostqa.schemas import PROBE
from boostqa.stages import plan

CONF = Plan(
    tokens=1000, high_difficulty_share=0.5, kept_tokens_per_request=10, max_requests_per_seed=3, min_probe_items=4
)
LABELLED = "seed_id string, lang string, discipline string, difficulty string, tokens int, text string"
LONG = 400  # tokens: enough for every request of a seed


def probe_rows(spark, *rows):
    full = [("m", "letter", d, h, n, c, c / n, 0.0, 1.0, 0.25, []) for d, h, n, c in rows]
    return spark.createDataFrame(full, PROBE.schema)


def seeds(spark, *disciplines, difficulty="H3"):
    rows = [(f"s{i}", "en", d, difficulty, LONG, "v = 3 m/s") for i, d in enumerate(disciplines)]
    return spark.createDataFrame(rows, LABELLED)


def budget_of(labelled, probe, conf=CONF):
    return plan.budget(labelled, plan.bearing(labelled, conf), probe, conf)


def cells(df):
    return {(r["discipline"], r["difficulty"]): r for r in df.collect()}


def test_budget_weaker_cell_gets_more_tokens(spark):
    probe = probe_rows(spark, ("0533", "H4", 8, 8), ("0531", "H4", 8, 2))
    many = seeds(spark, *["0533"] * 40, *["0531"] * 40)
    got = cells(budget_of(many, probe))
    assert got["0531", "H4"]["deficit"] == 1.0 and got["0533", "H4"]["deficit"] == 0.0
    assert got["0531", "H4"]["tokens"] > got["0533", "H4"]["tokens"] == 0


def test_budget_accuracy_falls_back_to_broad_field_then_all_then_full_deficit(spark):
    probe = probe_rows(spark, ("0533", "H4", 3, 3), ("0531", "H4", 3, 0))  # 3 < 4 in the cell, 6 in the broad field
    got = cells(budget_of(seeds(spark, "0533", "0613"), probe))
    assert got["0533", "H4"]["accuracy_from"] == "broad_field" and got["0533", "H4"]["accuracy"] == 0.5
    assert got["0613", "H4"]["accuracy_from"] == "all"
    unprobed = cells(budget_of(seeds(spark, "0533"), probe_rows(spark, ("0533", "H4", 1, 1))))
    assert unprobed["0533", "H4"]["accuracy_from"] is None and unprobed["0533", "H4"]["deficit"] == 1.0


def test_budget_serves_non_stem_only_at_high_difficulty_and_boosts_stem(spark):
    probe = probe_rows(spark, ("0533", "H4", 8, 2))
    got = cells(budget_of(seeds(spark, "0533", "0222"), probe))
    assert ("0222", "H3") not in got and ("0533", "H2") in got
    assert got["0533", "H5"]["weight"] == pytest.approx(2 * got["0222", "H5"]["weight"])


def test_budget_shares_and_capacity_are_respected(spark):
    probe = probe_rows(spark, ("0533", "H4", 8, 2))
    many = cells(budget_of(seeds(spark, *["0533"] * 100), probe))
    assert sum(r["tokens"] for (_, h), r in many.items() if h in ("H4", "H5")) == 500
    one = cells(budget_of(seeds(spark, "0533"), probe))
    borne = {h: (r["weight"] > 0, r["bearing_seeds"], r["tokens"], r["requests"]) for (_, h), r in one.items()}
    assert borne.pop("H1") == (True, 0, 0, 0)  # a seed of H3: what the cell lost is seen
    assert set(borne.values()) == {(True, 1, 30, 3)}  # one seed x 3 requests x 10 tokens


def test_plan_gives_each_cell_its_requests_and_every_seed_before_any_twice(spark):
    labelled = seeds(spark, "0533", "0533", "0222")
    budget = budget_of(labelled, probe_rows(spark, ("0533", "H4", 8, 2))).where(
        "discipline = '0533' or difficulty = 'H5'"
    )
    budget = budget.withColumn("requests", F.when(F.col("questions") > 0, 3).otherwise(0).cast("long"))
    rows = plan.plan(budget, plan.bearing(labelled, CONF), CONF).collect()
    counts: dict = {}
    for r in rows:
        counts.setdefault((r["discipline"], r["grade"]), []).append(r["seed_id"])
    assert {k: len(v) for k, v in counts.items()} == {("0533", f"H{i}"): 3 for i in range(2, 6)} | {("0222", "H5"): 3}
    assert all({"s0", "s1"} == set(v) for k, v in counts.items() if k[0] == "0533")
    assert len({r["plan_id"] for r in rows}) == len(rows)


def test_plan_strategy_lever_and_format_fit_the_cell(spark):
    labelled = seeds(spark, "0533", "0222", "0222")
    budget = budget_of(labelled, probe_rows(spark, ("0533", "H4", 8, 2)))
    rows = plan.plan(budget, plan.bearing(labelled, CONF), CONF).collect()
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


def test_plan_same_input_same_plan(spark):
    labelled = seeds(spark, "0533", "0531", "0222")
    probe = probe_rows(spark, ("0533", "H4", 8, 2))

    def ids(frame):
        return sorted(
            r["plan_id"] for r in plan.plan(budget_of(frame, probe), plan.bearing(frame, CONF), CONF).collect()
        )

    assert ids(labelled) == ids(labelled.orderBy(F.desc("seed_id")).repartition(3))


def test_plan_seed_is_asked_for_what_it_bears(spark):
    """A level near its own; proofs, programs and calculations where the subject and the text have them; one question of
    a short text."""
    rows = [
        ("relativity", "en", "0533", "H4", LONG, "Since 1905 light has one speed; see section 3"),
        ("stickers", "en", "0541", "H1", 20, "Lena has 24 stickers and gives away 7"),
        ("sorting", "en", "0613", "H3", 130, "Sort by comparing neighbours"),
        ("history", "en", "0222", "H2", LONG, "The treaty of 1648 ended it"),
        ("tales", "en", "0222", "H1", LONG, "Once upon a time"),
    ]
    borne = plan.bearing(spark.createDataFrame(rows, LABELLED), CONF).collect()
    grades: dict = {}
    for r in borne:
        grades.setdefault(r["seed_id"], []).append(r["grade"])
    assert {seed: "".join(sorted(found)).replace("H", "") for seed, found in grades.items()} == {
        "relativity": "345", "stickers": "123", "sorting": "2345", "history": "4"
    }  # fmt: skip
    formats = {(r["seed_id"], r["grade"]): set(r["formats"]) for r in borne}
    always = {"multiple_choice", "short_answer", "explanation"}
    assert formats["relativity", "H4"] == always | {"proof"}  # a year is no quantity
    assert formats["stickers", "H2"] == always | {"calculation"}
    assert formats["stickers", "H3"] == always | {"calculation", "proof"}
    assert formats["sorting", "H2"] == always | {"programming"} and formats["history", "H4"] == always
    assert {r["seed_id"]: r["questions"] for r in borne} == {
        "relativity": 3, "stickers": 1, "sorting": 2, "history": 3
    }  # fmt: skip
