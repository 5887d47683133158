"""annotate: labels from constrained completions."""

import json

import pytest
from pyspark.sql import functions as F

from boostqa.calls.models import ModelSpec
from boostqa.config import Annotate, EngineSettings, Model
from boostqa.stages import annotate
from boostqa.vocabulary import ItemTable
from tests.rows import completions

SPEC = ModelSpec(Model(id="m"), EngineSettings())
ITEM = "item_id string, lang string, text string"


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
