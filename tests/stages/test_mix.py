import pytest
from pyspark.sql import functions as F
from tokenizers import Tokenizer

from boostqa.config import Mix
from boostqa.schemas import BUDGET, CLEAN
from boostqa.stages.mix import choose, render
from tests.rows import row, word_tokenizer


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


def texts(spark, tokenizer_json, *items) -> dict[str, tuple[str, int]]:
    rows = render(cleaned(spark, items), tokenizer_json).collect()
    return {r["draft_id"]: (r["text"], r["tokens"]) for r in rows}


def test_render_each_kind_of_item_reads_as_plain_text_of_its_language(spark, tokenizer_json):
    found = texts(
        spark,
        tokenizer_json,
        item("worked"),
        item("options", choices=["red", "blue"], answer="B", solution="B "),
        item("zh", lang="zh", question="为什么？", solution="", answer="因为。"),
    )
    assert found == {
        "worked": ("Question: Why?\n\nIt follows.\n\nAnswer: Because.", 6),
        "options": ("Question: Why?\nA. red\nB. blue\n\nAnswer: B", 8),
        "zh": ("问题：为什么？\n\n答案：因为。", 2),
    }


def chosen(spark, tokenizer_json, items, budgets, **conf) -> tuple[list, list]:
    clean = cleaned(spark, items)
    budget = spark.createDataFrame(budgets, BUDGET.schema)
    kept, rejects = choose(render(clean, tokenizer_json), budget, Mix(**conf))
    return sorted(kept.collect()), sorted(rejects.collect())


def test_mix_over_the_total_keeps_each_cell_to_its_share_whatever_the_row_order(spark, tokenizer_json):
    items = [item(f"h4-{i}") for i in range(4)] + [item(f"h1-{i}", difficulty="H1") for i in range(4)]  # 6 tokens each
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
    items = [item("h4"), *(item(f"other-{i}", discipline="0222") for i in range(4))]
    kept, rejects = chosen(spark, tokenizer_json, items, [cell("0541", "H4", 100)], tokens=20, shards=1)
    assert sum(r["tokens"] for r in kept) == 18
    assert [r["discipline"] for r in kept].count("0541") == 1
    assert len(rejects) == 2
    assert "budget 0 tokens" in rejects[0]["evidence"]


def test_mix_total_above_the_supply_keeps_every_item(spark, tokenizer_json):
    items = [item("a"), item("b", difficulty="H2")]
    kept, rejects = chosen(spark, tokenizer_json, items, [cell("0541", "H4", 0)], tokens=1000, shards=2)
    assert (len(kept), rejects) == (2, [])
