"""probe: requests by method, scores and trends per cell; labels of probe items."""

import json
from math import log, sqrt

import pytest
from pyspark.sql import functions as F

from boostqa.calls.models import ModelSpec
from boostqa.config import EngineSettings, Model
from boostqa.schemas import PROBE
from boostqa.stages import probe, probe_labels
from boostqa.vocabulary import ProbeMethod
from tests.rows import completions

SPEC = ModelSpec(Model(id="m"), EngineSettings())
PROBE_ITEM = (
    "benchmark string, item_id string, subject string, question string, choices array<string>, answer string, lang string,"
    " discipline string, difficulty string"
)
FOUND = (
    "item_id string, pick string, bits_per_byte double, request_ids array<string>, method string, checkpoint string,"
    " tokens_seen long"
)


def test_items_that_no_method_scores_are_rejected(spark):
    rows = [
        ("b", "ok", None, "q", ["x", "y"], "B", "en", "0533", "H1"),
        ("b", "several", None, "q", ["x", "y"], "AB", "en", "0533", "H1"),
        ("b", "many", None, "q", list("opqrstuvwxyz"), "B", "en", "0533", "H1"),
        ("b", "open", None, "q", None, "42", "en", "0533", "H1"),
        ("b", "beyond", None, "q", ["x", "y"], "C", "en", "0533", "H1"),
        ("b", "none", None, "q", [], None, "en", "0533", "H1"),
    ]
    items = spark.createDataFrame(rows, PROBE_ITEM)
    usable, rejects = probe.usable(items, list(ProbeMethod))
    assert sorted(r["item_id"] for r in usable.collect()) == ["ok", "open"]
    assert sorted(r["key"] for r in rejects.collect()) == ["beyond", "many", "none", "several"]
    assert [r["item_id"] for r in probe.scored_by("letter", usable).collect()] == ["ok"]
    usable, rejects = probe.usable(items, ["letter"])
    assert [r["item_id"] for r in usable.collect()] == ["ok"]
    evidence = {r["key"]: r["evidence"] for r in rejects.collect()}
    assert evidence["open"].startswith("0 options, answer 42; methods letter need 2 to 10 options")


def test_letter_and_cloze_pick_the_most_likely_option(spark):
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


def test_reference_scores_the_answer_by_bits_per_byte_and_shares_the_request_of_cloze(spark):
    rows = [
        ("b", "closed", None, "Capital of France?", ["Rome", "Paris"], "B", "en", "0312", "H1"),
        ("b", "open", None, "法国的首都是？", None, "巴黎", "zh", "0312", "H1"),
    ]
    items = spark.createDataFrame(rows, PROBE_ITEM)
    requests = probe.reference_requests(items, SPEC)
    asked = {r["item_id"]: r for r in requests.collect()}
    assert {key: r["continuation"] for key, r in asked.items()} == {"closed": " Paris", "open": "巴黎"}
    cloze = probe.cloze_requests(probe.scored_by("cloze", items), SPEC).where("option = 1").first()
    assert asked["closed"]["request_id"] == cloze["request_id"]
    ledger = completions(requests, logprob=f"if(item_id = 'open', {-6 * log(2)}D, null)")
    found = {r["item_id"]: r for r in probe.reference_bits(requests, ledger).collect()}
    assert found["open"]["bits_per_byte"] == pytest.approx(1.0) and found["closed"]["bits_per_byte"] is None


def test_scores_per_cell_with_wilson_interval_and_bits_apart(spark):
    items = spark.createDataFrame(
        [("b", str(i), None, "q", ["x", "y"], "A", "en", "0533", "H1") for i in range(10)], PROBE_ITEM
    )
    found = [(str(i), "A" if i < 8 else "B", None, [f"of {i}"], "letter", "m", None) for i in range(10)]
    found += [(str(i), None, float(i), ["r"], "reference", "m", None) for i in (1, 3)]
    rows = probe.scores(items, spark.createDataFrame(found, FOUND)).collect()
    letter, reference = sorted(rows, key=lambda r: r["method"])
    assert letter["request_ids"] == [f"of {i}" for i in range(10)]
    assert (letter["items"], letter["correct"], letter["accuracy"], letter["chance"]) == (10, 8, 0.8, 0.5)
    # Wilson 95% interval of 8/10, published worked value: 0.490 to 0.943
    ends = (letter["wilson_low"], letter["wilson_high"])
    assert ends == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert letter["bits_per_byte"] is letter["slope"] is None
    assert (reference["items"], reference["bits_per_byte"], reference["bits_per_byte_se"]) == (2, 2.0, 1.0)
    unknown = ("correct", "accuracy", "chance", "wilson_low", "wilson_high", "slope")
    assert [reference[name] for name in unknown] == [None] * 6
    shrunk = spark.createDataFrame(
        [("m", "letter", "0533", "H1", 0.7, 0.5)],
        "checkpoint string, method string, discipline string, difficulty string, shrunk double, shrink_weight double",
    )
    whole = probe.with_shrunk(probe.scores(items, spark.createDataFrame(found, FOUND)), shrunk)
    assert whole.columns == PROBE.schema.names
    assert sorted(r["shrunk"] or 0 for r in whole.collect()) == [0, 0.7]


def test_slope_grows_with_the_series_and_is_the_interval_of_a_difference_for_two_checkpoints(spark):
    rows = [("b", str(i), None, "q", ["x", "y"], "A", "en", "0533", "H1") for i in range(10)]
    items = spark.createDataFrame(rows, PROBE_ITEM)
    series = [("untold", None, 9), ("early", 1000, 2), ("middle", 8000, 5), ("late", 16000, 8)]
    found = [
        (str(i), "A" if i < right else "B", None, ["r"], "letter", name, tokens)
        for name, tokens, right in series
        for i in range(10)
    ]
    got = {r["checkpoint"]: r for r in probe.scores(items, spark.createDataFrame(found, FOUND)).collect()}
    assert got["untold"]["slope"] is got["early"]["slope"] is None
    first, second = 3 / 12, 6 / 12
    half = 1.959963984540054 * sqrt(first * (1 - first) / 12 + second * (1 - second) / 12)
    for name, difference in (("slope_low", -half), ("slope", 0), ("slope_high", half)):
        assert got["middle"][name] == pytest.approx((second - first + difference) / log(8))
    assert got["middle"]["slope_low"] < 0 < got["late"]["slope_low"] < got["late"]["slope"]
    # weighted least squares by another way: the line through (x, y) with weights 12 / (y (1 - y))
    x, y = [log(1000), log(8000), log(16000)], [3 / 12, 6 / 12, 9 / 12]
    w = [12 / (v * (1 - v)) for v in y]
    mean_x, mean_y = (sum(a * b for a, b in zip(w, v, strict=True)) / sum(w) for v in (x, y))
    spread = sum(a * (b - mean_x) ** 2 for a, b in zip(w, x, strict=True))
    slope = sum(a * (b - mean_x) * (c - mean_y) for a, b, c in zip(w, x, y, strict=True)) / spread
    assert got["late"]["slope"] == pytest.approx(slope)
    assert got["late"]["slope_high"] - got["late"]["slope"] == pytest.approx(1.959963984540054 / sqrt(spread))


MEASURED = (
    "item_id string, discipline_code string, discipline_probability double, difficulty_code string,"
    " difficulty_probability double, difficulty_expected double, failure string, request_ids array<string>, annotator string"
)


def test_subject_gives_discipline_and_level_and_annotator_the_rest(spark):
    rows = [
        ("mmlu", "both", "college_physics", "q", ["x", "y"], "A", "en", None, None),
        ("mmlu", "level asked", "astronomy", "q", ["x", "y"], "A", "en", None, None),
        ("own", "given", None, "q", ["x", "y"], "A", "en", "0541", "H2"),
        ("own", "nothing", None, "q", ["x", "y"], "A", "en", None, None),
    ]
    filled = probe_labels.label_by_subject(spark.createDataFrame(rows, PROBE_ITEM))
    got = {r["item_id"]: (r["discipline"], r["difficulty"]) for r in filled.collect()}
    assert got == {
        "both": ("0533", "H4"), "level asked": ("0533", None), "given": ("0541", "H2"), "nothing": (None, None)
    }  # fmt: skip
    asked = [(i, label) for i in ("level asked", "nothing") for label in ("discipline", "difficulty")]
    asked.append((None, "difficulty"))  # of no item: what calibrates
    requests = spark.createDataFrame(asked, "item_id string, label string")
    kept = probe_labels.lacking(requests, filled).collect()
    assert sorted((r["item_id"] or "", r["label"]) for r in kept) == [
        ("", "difficulty"), ("level asked", "difficulty"), ("nothing", "difficulty"), ("nothing", "discipline")
    ]  # fmt: skip
    measured = spark.createDataFrame([("level asked", None, None, "H3", 0.4, 2.9, None, ["r1"], "m")], MEASURED)
    labelled, rejects = probe_labels.labelled(filled, measured)
    merged = {r["item_id"]: r for r in labelled.collect()}
    one = merged["level asked"]
    assert (one["discipline"], one["difficulty"], one["annotator"]) == ("0533", "H3", "m")
    assert (one["discipline_probability"], one["difficulty_probability"]) == (1.0, 0.4)
    assert (merged["given"]["annotator"], merged["given"]["request_ids"]) == ("given", [])
    assert [r["key"] for r in rejects.collect()] == ["nothing"]


def test_item_of_a_known_subject_keeps_its_discipline_when_the_annotator_cannot_tell(spark):
    subjects = {
        "a": "clinical_knowledge",
        "b": "clinical_knowledge",
        "c": "clinical_knowledge",
        "d": "astronomy",
        "e": None,
    }
    rows = [("mmlu", i, subject, "q", ["x", "y"], "A", "en", None, None) for i, subject in subjects.items()]
    levels = {"a": "H4", "b": "H4", "c": None, "d": None, "e": "H2"}
    measured = [
        (i, None, None, level, 0.5 if level else None, None, None, [f"of {i}"], "m") for i, level in levels.items()
    ]
    filled = probe_labels.label_by_subject(spark.createDataFrame(rows, PROBE_ITEM))
    labelled, rejects = probe_labels.labelled(filled, spark.createDataFrame(measured, MEASURED))
    got = {r["item_id"]: (r["discipline"], r["difficulty"], r["difficulty_probability"]) for r in labelled.collect()}
    assert got == {"a": ("0912", "H4", 0.5), "b": ("0912", "H4", 0.5), "c": ("0912", "H4", 1.0)}
    found = {r["key"]: r for r in rejects.collect()}
    assert {key: r["evidence"] for key, r in found.items()} == {
        "d": "annotator m cannot tell the difficulty", "e": "annotator m cannot tell the discipline"
    }  # fmt: skip
    assert found["d"]["request_ids"] == ["of d"] and found["d"]["rule"] == "unlabelled"
