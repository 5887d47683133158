"""annotate and probe: labels from constrained completions, scores per cell."""

import json

import pytest
from pyspark.sql import functions as F

from boostqa.calls.models import ModelSpec
from boostqa.config import Annotate, EngineSettings, Model
from boostqa.schemas import COMPLETION
from boostqa.stages import annotate, probe, probe_labels
from boostqa.vocabulary import ItemTable

SPEC = ModelSpec(Model(id="m"), EngineSettings())
ITEM = "item_id string, lang string, text string"
PROBE_ITEM = (
    "benchmark string, item_id string, subject string, question string, choices array<string>, answer string, lang string,"
    " discipline string, difficulty string"
)


def completions(requests, **answers):
    """A ledger for `requests`: each answer is a SQL expression over the request's columns."""
    usual = {
        "text": "''",
        "finish_reason": "'stop'",
        "error": "null",
        "logprob": "0.0",
        "choice_logprobs": "null",
        "server_reason": "null",
    } | answers
    numbers = {
        c: "0"
        for c in ("prompt_tokens", "generated_tokens", "thinking_tokens", "cached_tokens", "engine_seconds", "attempts")
    }
    values = usual | numbers | {"run_id": "'r'", "finished_at": "timestamp'2026-01-01'"}
    full = requests.withColumns({k: F.expr(v) for k, v in values.items()})
    return full.select(*(F.col(f.name).cast(f.dataType) for f in COMPLETION.schema))


def test_annotate_asks_twice_per_item_in_its_language(spark):
    items = spark.createDataFrame([("a", "en", "Newton's laws"), ("b", "zh", "牛顿定律")], ITEM)
    rows = annotate.requests(items, "annotate", SPEC, Annotate()).collect()
    assert sorted((r["item_id"], r["label"]) for r in rows) == [
        (i, lb) for i in "ab" for lb in ("difficulty", "discipline")
    ]
    chinese = next(r for r in rows if r["item_id"] == "b" and r["label"] == "discipline")
    assert "牛顿定律" in chinese["prompt"] and "物理学" in json.loads(chinese["structured"])["choice"]
    assert json.loads(chinese["sampling"])["reply_start"] == "该文本属于“"
    assert len({r["request_id"] for r in rows}) == 4


def test_annotate_label_becomes_code_with_probability(spark):
    items = spark.createDataFrame([("a", "en", "Newton's laws")], ITEM)
    requests = annotate.requests(items, "annotate", SPEC, Annotate())
    ledger = completions(
        requests, text="if(label = 'discipline', 'Physics', 'H4')", logprob="if(label = 'discipline', ln(0.25), 0.0)"
    )
    kept, rejects = annotate.parse(requests, ledger, ItemTable.SEED, "annotate")
    [row] = kept.collect()
    assert (row["discipline"], row["difficulty"]) == ("0533", "H4")
    assert row["discipline_probability"] == pytest.approx(0.25) and len(row["request_ids"]) == 2
    assert rejects.count() == 0


def test_annotate_item_without_label_is_rejected_with_the_reason(spark):
    items = [("no field", "en", "x"), ("no level", "en", "y"), ("refused", "en", "z")]
    requests = annotate.requests(spark.createDataFrame(items, ITEM), "annotate", SPEC, Annotate()).cache()
    text = """case when item_id = 'no field' and label = 'discipline' then 'cannot tell'
              when item_id = 'no level' and label = 'difficulty' then 'cannot tell'
              when label = 'discipline' then 'Physics' else 'H4' end"""
    refused = {"finish_reason": "if(item_id = 'refused', 'refused', 'stop')", "error": "'prompt_too_long: 9 > 8'"}
    kept, rejects = annotate.parse(requests, completions(requests, text=text, **refused), ItemTable.SEED, "annotate")
    found = {r["key"]: r for r in rejects.collect()}
    assert {key: r["rule"] for key, r in found.items()} == {
        "no field": "discipline_cannot_tell", "no level": "difficulty_cannot_tell", "refused": "annotation_failed"
    }  # fmt: skip
    assert kept.count() == 0 and "prompt_too_long" in found["refused"]["evidence"]
    ids = {key: sorted(r["request_id"] for r in requests.where(F.col("item_id") == key).collect()) for key in found}
    assert {key: r["request_ids"] for key, r in found.items()} == ids


def test_probe_items_that_are_not_multiple_choice_are_rejected(spark):
    rows = [
        ("b", "ok", None, "q", ["x", "y"], "B", "en", "0533", "H1"),
        ("b", "several", None, "q", ["x", "y"], "AB", "en", "0533", "H1"),
        ("b", "many", None, "q", list("opqrstuvwxyz"), "B", "en", "0533", "H1"),
        ("b", "open", None, "q", None, "42", "en", "0533", "H1"),
        ("b", "beyond", None, "q", ["x", "y"], "C", "en", "0533", "H1"),
        ("b", "none", None, "q", ["x", "y"], None, "en", "0533", "H1"),
    ]
    usable, rejects = probe.usable(spark.createDataFrame(rows, PROBE_ITEM))
    assert [(r["item_id"], r["answer"]) for r in usable.collect()] == [("ok", "B")]
    assert sorted(r["key"] for r in rejects.collect()) == ["beyond", "many", "none", "open", "several"]


def test_probe_letter_and_cloze_pick_the_most_likely_option(spark):
    items = spark.createDataFrame(
        [("b", "i", None, "Capital of France?", ["Rome", "Paris, of course"], "B", "en", "0312", "H1")], PROBE_ITEM
    )
    letters = probe.letter_requests(items, SPEC)
    assert json.loads(letters.first()["structured"])["letters"] == [" A", " B"]
    ledger = completions(letters, choice_logprobs="map('A', -2.0D, 'B', -1.0D)", finish_reason="'scored'")
    assert probe.letter_picks(letters, ledger).first()["pick"] == "B"
    cloze = probe.cloze_requests(items, SPEC)
    # per character: -5/5 = -1 for " Rome", -8/17 for " Paris, of course"
    ledger = completions(cloze, logprob="if(option = 0, -5.0, -8.0)", finish_reason="'scored'")
    assert probe.cloze_picks(cloze, ledger).first()["pick"] == "B"
    ledger = completions(cloze, logprob="if(option = 0, -5.0, null)", finish_reason="'refused'")
    picks = probe.cloze_picks(cloze, ledger).withColumns({"method": F.lit("cloze"), "checkpoint": F.lit("m")})
    assert picks.first()["pick"] is None
    [reject] = probe.unscored(picks).collect()
    assert (reject["key"], len(reject["request_ids"])) == ("i#cloze#m", 2)


def test_probe_scores_per_cell_with_wilson_interval(spark):
    items = spark.createDataFrame(
        [("b", str(i), None, "q", ["x", "y"], "A", "en", "0533", "H1") for i in range(10)], PROBE_ITEM
    )
    picks = [(str(i), "A" if i < 8 else "B", [f"of {i}"], "letter", "m") for i in range(10)]
    kind = "item_id string, pick string, request_ids array<string>, method string, checkpoint string"
    [row] = probe.scores(items, spark.createDataFrame(picks, kind)).collect()
    assert row["request_ids"] == [f"of {i}" for i in range(10)]
    assert (row["items"], row["correct"], row["accuracy"], row["chance"]) == (10, 8, 0.8, 0.5)
    # Wilson 95% interval of 8/10, published worked value: 0.490 to 0.943
    assert row["wilson_low"] == pytest.approx(0.4902, abs=1e-4) and row["wilson_high"] == pytest.approx(
        0.9433, abs=1e-4
    )


def test_subject_gives_discipline_and_level_and_annotator_the_rest(spark):
    rows = [
        ("mmlu", "a", "college_physics", "q", ["x", "y"], "A", "en", None, None),
        ("mmlu", "b", "astronomy", "q", ["x", "y"], "A", "en", None, None),
        ("own", "c", None, "q", ["x", "y"], "A", "en", "0541", "H2"),
    ]
    filled = probe_labels.label_by_subject(spark.createDataFrame(rows, PROBE_ITEM))
    got = {r["item_id"]: (r["discipline"], r["difficulty"]) for r in filled.collect()}
    assert got == {"a": ("0533", "H4"), "b": ("0533", None), "c": ("0541", "H2")}
    labels = spark.createDataFrame(
        [("b", "probe_item", "0111", 0.5, "H3", 0.4, "m", ["r1"])],
        "item_id string, item_table string, discipline string, discipline_probability double, difficulty string,"
        " difficulty_probability double, annotator string, request_ids array<string>",
    )
    merged = {r["item_id"]: r for r in probe_labels.with_annotations(filled, labels).collect()}
    assert (merged["b"]["discipline"], merged["b"]["difficulty"], merged["b"]["annotator"]) == ("0533", "H3", "m")
    assert (merged["c"]["annotator"], merged["c"]["request_ids"]) == ("given", [])
