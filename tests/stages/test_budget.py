"""budget: what a checkpoint lacks and what seeds bear -> tokens of each cell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostqa.config import Plan
from boostqa.errors import ConfigError
from boostqa.stages.budget import budget, of_checkpoint, with_novelty
from boostqa.vocabulary import GRADES

CONF = Plan(tokens=1000, high_difficulty_share=0.5, kept_tokens_per_request=10)


def cells(*disciplines, seeds=10, questions=100):
    """All grades of each discipline."""
    return [
        {
            "discipline": d,
            "difficulty": h,
            "seeds": seeds,
            "bearing_seeds": seeds,
            "questions": questions,
            "kept_per_request": None,
        }
        for d in disciplines
        for h in GRADES
    ]


def score(discipline, difficulty, items, correct, method="letter", chance=0.25, slope=(None, None, None)):
    low, middle, high = slope
    return {
        "checkpoint": "m", "method": method, "discipline": discipline, "difficulty": difficulty, "items": items, "correct": correct,
        "accuracy": None if correct is None else correct / items, "chance": chance, "slope": middle, "slope_low": low, "slope_high": high,
    }  # fmt: skip


def by_cell(rows):
    return {(r["discipline"], r["difficulty"]): r for r in rows}


def conf(**changed):
    return CONF.model_copy(update=changed)


def test_budget_weaker_cell_gets_more_and_a_known_one_nothing():
    probe = [
        score("0533", "H4", 400, 400),
        score("0531", "H4", 400, 100),
        score("0533", "H1", 400, 300),
        score("0531", "H1", 400, 300),
    ]
    got = by_cell(budget(cells("0533", "0531"), probe, CONF))
    assert got["0531", "H4"]["deficit"] > 0.97 and got["0533", "H4"]["deficit"] < 0.03
    assert got["0531", "H4"]["tokens"] > 10 * got["0533", "H4"]["tokens"]
    assert sum(r["tokens"] for (_, h), r in got.items() if h in ("H4", "H5")) == 500
    assert sum(r["requests"] for r in got.values()) == 100  # and not one more a cell


def test_budget_accuracy_of_few_items_is_drawn_to_the_field_and_without_any_to_all():
    probe = [
        score("0533", "H4", 3, 3),
        score("0531", "H4", 3, 0),
        score("0531", "H4", 9, 9, "cloze"),
        score("0911", "H4", 50, 10),
    ]
    got = by_cell(budget(cells("0533", "0613"), probe, CONF))
    one = got["0533", "H4"]
    assert (one["shrunk_to"], one["probe_items"]) == ("broad_field", 3) and 0 < one["shrink_weight"] < 1
    assert got["0613", "H4"]["shrunk_to"] == "all" and got["0613", "H4"]["shrink_weight"] == 1
    assert got["0613", "H4"]["accuracy"] == pytest.approx((13 / 56 + 9 / 9) / 2)
    unprobed = by_cell(budget(cells("0533"), [], CONF))
    assert unprobed["0533", "H4"]["accuracy"] is None and unprobed["0533", "H4"]["deficit"] == 1


def test_budget_follows_what_rises_tries_what_is_flat_and_keeps_what_is_forgotten():
    probe = [
        score("0533", "H4", 40, 20, slope=(0.01, 0.06, 0.11)), score("0533", "H5", 40, 20, slope=(0.01, 0.02, 0.03)),
        score("0531", "H4", 40, 20, slope=(-0.01, 0.03, 0.07)), score("0531", "H5", 40, 20, slope=(-0.05, -0.03, -0.01)),
        score("0533", "H4", 40, 20, "cloze", slope=(0.01, 0.06, 0.11)),
    ]  # fmt: skip
    got = by_cell(budget(cells("0533", "0531"), probe, CONF))
    assert {cell: (got[cell]["trend"], got[cell]["learnability"]) for cell in (("0533", "H4"), ("0533", "H5"), ("0531", "H4"))} == {
        ("0533", "H4"): ("rising", 1.5), ("0533", "H5"): ("rising", 0.5), ("0531", "H4"): ("flat", 0.25)
    }  # fmt: skip
    assert (got["0531", "H5"]["trend"], got["0531", "H5"]["learnability"]) == ("falling", 1)
    assert (got["0531", "H1"]["trend"], got["0531", "H1"]["learnability"]) == (None, 1)


def test_budget_of_a_checkpoint_that_was_not_probed_is_refused():
    rows = [score("0533", "H4", 4, 2), score("0533", "H4", 4, None, "reference")]
    assert of_checkpoint(rows, "m") == rows[:1] and of_checkpoint([], "m") == []
    with pytest.raises(ConfigError, match=r"new has not been probed.*table probe holds m"):
        of_checkpoint(rows, "new")
    with pytest.raises(ConfigError, match="add letter or cloze"):
        of_checkpoint(rows[1:], "m")


def test_budget_full_cells_give_to_the_others_and_an_empty_side_to_the_other():
    few = cells("0533", "0531")
    few[3]["questions"] = 4  # 0533 at H4
    got = by_cell(budget(few, [], CONF))
    assert (got["0533", "H4"]["tokens"], got["0533", "H4"]["bound"]) == (40, "capacity")
    assert [got[cell]["tokens"] for cell in (("0533", "H5"), ("0531", "H4"), ("0531", "H5"))] == [153, 154, 153]
    low = [c | {"questions": 0} if c["difficulty"] in ("H4", "H5") else c for c in cells("0533")]
    got = {r["difficulty"]: (r["side_tokens"], r["tokens"]) for r in budget(low, [], CONF)}
    assert got == {"H1": (1000, 334), "H2": (1000, 333), "H3": (1000, 333), "H4": (0, 0), "H5": (0, 0)}


def test_budget_that_cannot_come_out_names_the_limit_and_the_figure_that_would_do():
    with pytest.raises(ConfigError, match=r"(?s)plan\.floor_tokens: 300 in the 2 cells at H4 and H5 are 600 .* gives these cells 500"
                       r".*to at most 250 or plan\.tokens to at least 1200"):  # fmt: skip
        budget(cells("0533"), [], conf(floor_tokens=300))
    assert budget(cells("0533"), [], conf(floor_tokens=250, tokens=1500))
    assert budget(cells("0533"), [], conf(floor_tokens=300, tokens=1800))
    short = cells("0533", questions=20)
    with pytest.raises(ConfigError, match=r"(?s)plan\.tokens: 1000 gives the cells at H4 and H5 500 .* bear 40 questions, 400 tokens"
                       r".*plan\.tokens to at most 800"):  # fmt: skip
        budget(short, [], CONF)
    assert sum(r["tokens"] for r in budget(short, [], conf(tokens=800))) == 800
    assert sum(r["tokens"] for r in budget(short, [], conf(when_short="lower"))) == 400 + 500


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(0, 40)), min_size=10, max_size=10),
    st.integers(1, 5000), st.floats(0, 1), st.integers(0, 30)
)  # fmt: skip
def test_budget_sums_come_out_within_all_bounds_whatever_the_figures_and_their_order(figures, tokens, share, floor):
    of = cells("0533", "0613")
    probe = []
    for cell, (questions, items, correct) in zip(of, figures, strict=True):
        cell["questions"] = questions
        if items:
            probe.append(score(cell["discipline"], cell["difficulty"], items, min(items, correct)))
    settings = conf(tokens=tokens, high_difficulty_share=share, floor_tokens=floor, when_short="lower")
    try:
        rows = budget(of, probe, settings)
    except ConfigError as error:
        assert "plan.floor_tokens" in str(error)
        return
    assert rows == budget(of[::-1], probe[::-1], settings)
    for high in (True, False):
        side = [r for r in rows if (r["difficulty"] in ("H4", "H5")) == high]
        assert sum(r["tokens"] for r in side) == side[0]["side_tokens"]
        assert sum(r["requests"] for r in side) == -(-side[0]["side_tokens"] // 10)
        assert all(r["floor"] <= r["tokens"] <= r["capacity"] and r["requests"] <= r["questions"] for r in side)


def test_budget_cell_that_only_repeated_itself_gets_nothing_until_its_discipline_has_new_seeds():
    def asked(difficulty, novelty, high, seeds=10):
        row = {"discipline": "0533", "difficulty": difficulty, "novelty": novelty, "novelty_high": high}
        return row | {"seeds": seeds}

    before = [asked("H4", 0.9, 0.95), asked("H4", 0.1, 0.2), asked("H5", 0.1, 0.4), asked("H3", None, None)]
    got = by_cell(budget(with_novelty(cells("0533"), before, 0.3), [], CONF))
    spent = got["0533", "H4"]
    assert (spent["tokens"], spent["bound"], spent["novelty"]) == (0, "novelty", 0.1)
    assert got["0533", "H5"]["tokens"] == 500 and got["0533", "H5"]["novelty"] == 0.1  # it may yet be chance
    assert "exhausted" not in spent and got["0533", "H3"]["novelty"] is None
    more = by_cell(budget(with_novelty(cells("0533", seeds=11), before, 0.3), [], CONF))
    assert more["0533", "H4"]["tokens"] > 0


def test_budget_requests_follow_what_such_requests_left_in_earlier_rounds():
    measured = [cell | {"kept_per_request": 5.0 if cell["difficulty"] == "H5" else 20.0} for cell in cells("0533")]
    got = by_cell(budget(measured, [], CONF))
    asked = {d: (r["tokens"], r["requests"]) for (_, d), r in got.items() if d in ("H4", "H5")}
    assert asked == {"H4": (250, 13), "H5": (250, 50)}  # 12.5 and 50, their sum rounded up
    assert got["0533", "H5"]["capacity"] == 500 and got["0533", "H4"]["capacity"] == 2000
