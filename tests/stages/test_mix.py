from itertools import islice

import pytest
from pyspark.sql import functions as F
from tokenizers import Tokenizer

from boostqa.config import Mix
from boostqa.schemas import BUDGET, CLEAN
from boostqa.stages.mix import choose, render
from tests.rows import alike, row, word_tokenizer
from udfs.rendering import layout_of


@pytest.fixture(scope="module")
def tokenizer_json() -> str:
    return word_tokenizer()


def cleaned(spark, items):
    return spark.createDataFrame(items, CLEAN.schema).withColumn("round", F.lit("main"))


def item(draft_id: str, **changes) -> dict:
    return row(
        CLEAN, draft_id=draft_id, **{"question": "Why?", "answer": "Because.", "solution": "It follows."} | changes
    )


def cell(discipline: str, difficulty: str, tokens: int) -> dict:
    return row(BUDGET, discipline=discipline, difficulty=difficulty, tokens=tokens)


def test_render_has_a_layout_spans_and_tokens_of_its_text(spark, tokenizer_json):
    (found,) = render(cleaned(spark, [item("a", choices=["red", "blue"])]), tokenizer_json).collect()
    parts = {s["part"]: found["text"][s["start"] : s["end"]] for s in found["spans"]}
    assert parts["question"].split("\n")[0] == "Why?" and (parts["reasoning"], parts["answer"]) == (
        "It follows.",
        "Because.",
    )
    assert found["layout"] == layout_of("a", "en").name
    assert found["tokens"] == len(Tokenizer.from_str(tokenizer_json).encode(found["text"]).ids)


def chosen(spark, tokenizer_json, items, budgets, **conf) -> tuple[list, list]:
    clean = cleaned(spark, items)
    budget = spark.createDataFrame(budgets, BUDGET.schema)
    kept, rejects = choose(render(clean, tokenizer_json), budget, Mix(**conf))
    return sorted(kept.collect()), sorted(rejects.collect())


def test_mix_over_the_total_keeps_each_cell_to_its_share_whatever_the_row_order(spark, tokenizer_json):
    items = [item(i) for i in islice(alike("h4"), 4)] + [item(i, difficulty="H1") for i in islice(alike("h1"), 4)]
    budgets = [cell("0541", "H4", 300), cell("0541", "H1", 100)]
    kept, rejects = chosen(spark, tokenizer_json, items, budgets, tokens=24, shards=3)
    assert [r["difficulty"] for r in kept].count("H4") == 3
    assert [r["difficulty"] for r in kept].count("H1") == 1
    assert {r["draft_id"] for r in kept} | {r["key"] for r in rejects} == {i["draft_id"] for i in items}
    assert {(r["stage"], r["rule"]) for r in rejects} == {("mix", "over_budget")}
    assert rejects[0]["evidence"] == "cell 0541 H1 budget 100 tokens, item 6 tokens, total 24 tokens"
    assert all(0 <= r["shard"] < 3 for r in kept)
    assert chosen(spark, tokenizer_json, items[::-1], budgets, tokens=24, shards=3) == (kept, rejects)


def test_mix_text_with_a_control_token_is_rejected_and_takes_no_share(spark, tokenizer_json):
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.add_special_tokens(["</s>"])
    items = [item("marked", question="What is </s> in HTML?"), item("escaped", question="What is <\u2060/s> in HTML?")]
    kept, rejects = chosen(spark, tokenizer.to_str(), items, [cell("0541", "H4", 100)], tokens=20, shards=1)
    assert [r["draft_id"] for r in kept] == ["escaped"]
    assert [(r["key"], r["rule"], r["evidence"]) for r in rejects] == [("marked", "control_tokens", "</s>")]


def test_mix_short_cell_leaves_its_tokens_to_the_rest_including_cells_without_budget(spark, tokenizer_json):
    items = [item(next(alike("h4"))), *(item(i, discipline="0222") for i in islice(alike("other"), 4))]
    kept, rejects = chosen(spark, tokenizer_json, items, [cell("0541", "H4", 100)], tokens=20, shards=1)
    assert sum(r["tokens"] for r in kept) == 18
    assert [r["discipline"] for r in kept].count("0541") == 1
    assert len(rejects) == 2
    assert "budget 0 tokens" in rejects[0]["evidence"]


def test_mix_total_above_the_supply_keeps_every_item(spark, tokenizer_json):
    items = [item("a"), item("b", difficulty="H2")]
    kept, rejects = chosen(spark, tokenizer_json, items, [cell("0541", "H4", 0)], tokens=1000, shards=2)
    assert (len(kept), rejects) == (2, [])
