"""probe_plots: which figures there are and what they show."""

from boostqa.report.probe_plots import figures, pooled

EARLY, LATE = "step-1", "step-2"


def row(checkpoint, method, discipline, difficulty, value, items, tokens_seen=None):
    accuracy, bits = (None, value) if method == "reference" else (value, None)
    return {
        "checkpoint": checkpoint, "method": method, "discipline": discipline, "difficulty": difficulty,
        "accuracy": accuracy, "bits_per_byte": bits, "items": items, "chance": 0.25, "tokens_seen": tokens_seen,
    }  # fmt: skip


def test_each_checkpoint_has_a_heat_map_and_a_series_its_trend():
    rows = [
        row(name, method, "0533", "H4", value, 8, seen)
        for name, seen, value in ((EARLY, 1000, 0.25), (LATE, 2000, 0.75))
        for method in ("letter", "reference")
    ]
    found = figures(rows, [EARLY, LATE])
    assert list(found) == ["probe/heat_map_1.svg", "probe/heat_map_2.svg", "probe/trend.svg"]
    assert all(text in found["probe/heat_map_2.svg"] for text in (LATE, "0533", "0.75 (8)", "bits per byte"))
    assert "05 (8 items)" in found["probe/trend.svg"] and "bits per byte" not in found["probe/trend.svg"]
    assert figures(rows, [EARLY, LATE]) == found
    assert list(figures(rows[:2], [EARLY, "not probed"])) == ["probe/heat_map_1.svg"]


def test_many_disciplines_are_shown_as_broad_fields_with_their_items_pooled():
    many = [row(EARLY, "cloze", f"05{n:02}", "H1", 0.5, 1) for n in range(50)]
    text = figures([*many, row(EARLY, "cloze", "0222", "H1", 1.0, 3)], [EARLY])["probe/heat_map_1.svg"]
    assert "0.50 (50)" in text and "1.00 (3)" in text and "broad field" in text
    assert pooled([row(EARLY, "cloze", "0533", "H1", 1.0, 1), row(EARLY, "cloze", "0533", "H1", 0.0, 3)]) == (0.25, 4)
