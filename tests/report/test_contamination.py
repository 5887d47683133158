import io

from rich.console import Console

from boostqa.report.contamination import collect, show
from boostqa.schemas import CONTAMINATION
from boostqa.vocabulary import MatchKind
from tests.rows import frame


def test_contamination_counts_hits_and_shows_the_most_similar_pairs_as_they_are_written(spark, stage):
    where = {"benchmark": "gsm", "source": "book", "generator": "m"}
    copy = {
        "draft_id": "a",
        "kind": "verbatim",
        "score": 1.0,
        "item_text": "six [bold]eggs",
        "benchmark_text": "six eggs",
    }
    near = {"draft_id": "b", "kind": "similar", "score": 0.5, "item_text": "two hens", "benchmark_text": "x" * 400}
    rows = [
        where | copy,
        where | copy | {"field": "passage"},
        where | near,
        where | near | {"draft_id": "c", "score": 0.4},
    ]
    stage.write("contamination", frame(spark, CONTAMINATION, *rows))
    facts = collect(stage.warehouse, None, 3)
    counts = {r["kind"]: (r["items"], r["hits"], round(r["mean_score"], 2)) for r in facts["hits"]}
    assert counts == {"similar": (2, 2, 0.45), "verbatim": (1, 2, 1.0)}
    assert [p["draft_id"] for p in facts["pairs"]] == ["a", "a", "b"]
    only = collect(stage.warehouse, MatchKind.SIMILAR, 1)
    assert len(only["hits"]) == 1 and [p["draft_id"] for p in only["pairs"]] == ["b"]
    shown = io.StringIO()
    show(facts, Console(file=shown, width=160))
    assert "six [bold]eggs" in shown.getvalue() and "two hens" in shown.getvalue() and "x" * 301 not in shown.getvalue()
