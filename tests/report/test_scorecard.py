"""The scorecard's figures from a few items that were said by hand."""

import pytest
from rich.console import Console

from boostqa.report.scorecard import Said, confusion, figures, matrices, metrics, show


def said(
    discipline, label, probability=0.9, level=None, difficulty=None, told=True, annotator="m/llm", benchmark="mmlu"
):
    return Said(
        annotator, benchmark, "en", discipline, level, label, probability, difficulty, told and label is not None
    )


ITEMS = [
    said("0533", "0533", 0.8, level=1, difficulty=1),
    said("0531", "0533", 0.6, level=2, difficulty=3),
    said("0533", "0222", 0.3, level=3, difficulty=2),
    said("0222", None, None, level=4, difficulty=4),
    said(None, "0541", level=5, difficulty=5),  # an item that has a level only
]


def test_figures_count_a_missing_label_as_wrong_and_compare_with_one_label_for_all():
    row, of_all = figures(ITEMS)
    assert (row["benchmark"], row["lang"], row["items"]) == ("mmlu", "en", 4)
    assert (row["detailed"], row["broad"], row["coverage"]) == (0.25, 0.5, 0.75)
    assert (row["majority_detailed"], row["majority_broad"]) == (0.5, 0.75)
    assert row["broad_told"] == pytest.approx(2 / 3)
    assert row["ece"] == pytest.approx((0.2 + 0.6 + 0.3) / 3)
    assert (row["levels"], row["spearman"]) == (5, pytest.approx(0.9)) and row["spearman_low"] < 0.9
    assert (of_all["benchmark"], of_all["broad"], of_all["spearman"]) == ("all", 0.5, None)


def test_figures_of_a_label_that_is_not_sure_count_apart():
    row, _ = figures([said("0533", "0533"), said("0533", "0222", told=False), said("0222", "0222")])
    assert (row["broad"], row["coverage"], row["broad_told"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 1.0)


def test_figures_of_items_without_a_discipline_are_null():
    row, _ = figures([said(None, "0541", level=n, difficulty=n) for n in range(1, 5)])
    assert (row["items"], row["broad"], row["coverage"], row["ece"], row["spearman"]) == (0, None, None, None, 1.0)


def test_scorecard_is_shown_and_told_to_mlflow_with_names_it_takes():
    items = [*ITEMS, said("0533", "0533", annotator="distilled")]
    console = Console(width=160, record=True)
    show(figures(items), {"m/llm": None, "distilled": 12.5}, console)
    shown = console.export_text()
    assert "m/llm: all from the ledger" in shown and "+0.90" in shown and "12.5 items a second" in shown
    told = metrics(figures(items), {"m/llm": None, "distilled": 12.5})
    assert told["scorecard.llm.mmlu.en.broad"] == 0.5 and told["scorecard.distilled.items_per_second"] == 12.5
    assert "scorecard.llm.items_per_second" not in told
    assert confusion(items)["m/llm"] == {("05", "05"): 2, ("05", "02"): 1, ("02", "none"): 1}
    drawn = matrices(items)
    assert drawn == matrices(items) and ">05 (3)<" in drawn and ">0.67<" in drawn and ">none<" in drawn
