from itertools import islice

import pytest
from pyspark.sql import functions as F
from tokenizers import Tokenizer

from boostqa.config import Component, Mix
from boostqa.export.blended import blended, tables_of
from boostqa.schemas import BUDGET, CLEAN, TABLES
from boostqa.stages.mix import of_items, render
from tests.rows import alike, row, stored, word_tokenizer
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
    items, _ = of_items(cleaned(spark, [item("a", choices=["red", "blue"])]), Mix(tokens=1))
    (found,) = render(items, tokenizer_json).collect()
    parts = {s["part"]: found["text"][s["start"] : s["end"]] for s in found["spans"]}
    assert parts["question"].split("\n")[0] == "Why?" and (parts["reasoning"], parts["answer"]) == (
        "It follows.",
        "Because.",
    )
    assert found["layout"] == layout_of("a", "en").name
    assert found["tokens"] == len(Tokenizer.from_str(tokenizer_json).encode(found["text"]).ids)


def chosen(spark, tokenizer_json, items, budgets, **more) -> tuple[list, list]:
    given = {name: more.pop(name) for name in TABLES if name in more}
    frames = {name: stored(spark, TABLES[name]) for name in tables_of(Mix(**more))} | given
    frames |= {"clean": cleaned(spark, items), "budget": spark.createDataFrame(budgets, BUDGET.schema)}
    found = blended(frames, Mix(**more), tokenizer_json, lambda frame: frame)
    return sorted(found.rows.collect()), sorted(found.rejects.collect())


def test_mix_over_the_total_keeps_each_cell_to_its_share_whatever_the_row_order(spark, tokenizer_json):
    items = [item(i) for i in islice(alike("h4"), 4)] + [item(i, difficulty="H1") for i in islice(alike("h1"), 4)]
    budgets = [cell("0541", "H4", 300), cell("0541", "H1", 100)]
    kept, rejects = chosen(spark, tokenizer_json, items, budgets, tokens=24, shards=3)
    assert [r["difficulty"] for r in kept].count("H4") == 3
    assert [r["difficulty"] for r in kept].count("H1") == 1
    assert {r["document_id"] for r in kept} | {r["key"] for r in rejects} == {i["draft_id"] for i in items}
    assert {(r["stage"], r["rule"]) for r in rejects} == {("mix", "over_budget")}
    told = "synthesized 0541/H1: asked for 6 tokens, 24 there, 6 taken; document 6 tokens"
    assert rejects[0]["evidence"] == told
    assert all(0 <= r["shard"] < 3 for r in kept)
    assert chosen(spark, tokenizer_json, items[::-1], budgets, tokens=24, shards=3) == (kept, rejects)


def test_mix_text_with_a_control_token_is_rejected_and_takes_no_share(spark, tokenizer_json):
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.add_special_tokens(["</s>"])
    items = [item("marked", question="What is </s> in HTML?"), item("escaped", question="What is <\u2060/s> in HTML?")]
    kept, rejects = chosen(spark, tokenizer.to_str(), items, [cell("0541", "H4", 100)], tokens=20, shards=1, passes=1)
    assert [r["document_id"] for r in kept] == ["escaped"]
    assert [(r["key"], r["rule"], r["evidence"]) for r in rejects] == [("marked", "control_tokens", "</s>")]


def test_mix_short_cell_leaves_its_tokens_to_the_rest_including_cells_without_budget(spark, tokenizer_json):
    items = [item(next(alike("h4"))), *(item(i, discipline="0222") for i in islice(alike("other"), 4))]
    kept, rejects = chosen(spark, tokenizer_json, items, [cell("0541", "H4", 100)], tokens=20, shards=1)
    assert sum(r["tokens"] for r in kept) == 18
    assert [r["discipline"] for r in kept].count("0541") == 1
    assert len(rejects) == 2
    assert "0222/H4: asked for 0 tokens" in rejects[0]["evidence"]


def test_mix_total_above_the_supply_keeps_every_item_as_often_as_it_may_come(spark, tokenizer_json):
    items = [item("a"), item("b", difficulty="H2")]
    kept, rejects = chosen(spark, tokenizer_json, items, [cell("0541", "H4", 0)], tokens=1000, shards=2)
    assert [(r["document_id"], r["pass"]) for r in kept] == [(i, n) for i in "ab" for n in (1, 2, 3, 4)]
    assert rejects == [] and len({r["shard"] for r in kept}) == 2
    once, _ = chosen(spark, tokenizer_json, items, [cell("0541", "H4", 0)], tokens=1000, shards=2, passes=1)
    assert [(r["document_id"], r["draft_ids"]) for r in once] == [("a", ["a"]), ("b", ["b"])]


def test_mix_total_is_met_within_one_document_whatever_the_parts(spark, tokenizer_json):
    words = ["Because of it.", "Because.", "So it is, as was shown in the lecture on it."]
    kinds = [(i, d, words[n % 3]) for d in ("H1", "H3", "H5") for n, i in enumerate(islice(alike(d), 5))]
    items = [item(i, difficulty=d, solution=w) for i, d, w in kinds]
    budgets = [cell("0541", d, n) for d, n in (("H1", 3), ("H3", 5), ("H5", 7))]
    longest = 16
    for tokens in (37, 61, 85, 131):
        kept, _ = chosen(spark, tokenizer_json, items, budgets, tokens=tokens)
        assert tokens - longest < sum(r["tokens"] for r in kept) <= tokens


def test_mix_components_take_items_by_strategy_round_and_reasoning_and_seeds_with_answers(spark, tokenizer_json):
    components = [
        Component(name="worked", reasoning="long", rounds=["main"]),
        Component(name="hard", strategies=["high_difficulty"]),
        Component(name="asked", of="seeds"),
    ]
    items = [
        item("a", solution="It follows " * 9, strategy="high_difficulty"),
        item("b", strategy="high_difficulty"),
        item("c", strategy="multi_grade"),
    ]
    qa = {"kind": "qa", "question": "What is 1+1?", "answer": "2", "choices": None, "lang": "en", "source": "book"}
    seeds = [
        {**qa, "seed_id": "s1"},
        {**qa, "seed_id": "s2", "source": "gone"},
        {**qa, "seed_id": "s3", "answer": None},
        {**qa, "seed_id": "s4", "kind": "document", "question": None},
        {**qa, "seed_id": "s5"},  # not labelled
        {**qa, "seed_id": "s6", "licence": "CC-BY-NC-4.0"},
    ]
    labels = [
        {"item_table": "seed", "item_id": f"s{n}", "discipline": "0541", "difficulty": "H2"} for n in (1, 2, 3, 4, 6)
    ]
    more = {
        "seed": stored(spark, TABLES["seed"], *seeds),
        "annotation": stored(spark, TABLES["annotation"], *labels),
        "withdrawal": stored(spark, TABLES["withdrawal"], {"kind": "source", "value": "gone"}),
    }
    conf = {"components": components, "long_reasoning": 50, "tokens": 1000, "passes": 1, "licence": "CC-BY-4.0"}
    kept, rejects = chosen(spark, tokenizer_json, items, [cell("0541", "H4", 1)], **more, **conf)
    assert [(r["component"], r["document_id"], r["draft_ids"]) for r in kept] == [
        ("worked", "a", ["a"]),
        ("hard", "b", ["b"]),
        ("asked", "s1", []),
    ]
    seed = kept[2]
    assert (seed["round"], seed["strategy"], seed["format"]) == ("", None, "short_answer")
    assert [s["part"] for s in seed["spans"]] == ["question", "answer"] and "What is 1+1?" in seed["text"]
    assert [(r["key"], r["rule"], r["evidence"]) for r in rejects] == [
        ("c", "no_component", "multi_grade, round main, solution of 11 characters")
    ]


def test_mix_items_of_one_seed_in_a_component_and_round_are_one_document(spark, tokenizer_json):
    items = [item(i, seed_id="s1", question=f"Why {i}?") for i in "abc"] + [item("d", seed_id="s2", difficulty="H1")]
    items[2] |= {"strategy": "high_difficulty"}
    components = [Component(name="graded", strategies=["multi_grade"]), Component(name="hard")]
    conf = {"tokens": 1000, "passes": 1, "document": "seed", "components": components}
    kept, rejects = chosen(spark, tokenizer_json, items, [cell("0541", "H4", 1)], **conf)
    found = {tuple(sorted(r["draft_ids"])): r for r in kept}
    assert found.keys() == {("a", "b"), ("c",), ("d",)} and rejects == []
    assert found["d",]["document_id"] == "d" and found["a", "b"]["document_id"] not in "ab"
    both = found["a", "b"]
    first, second = both["draft_ids"]
    asked = [both["text"][s["start"] : s["end"]] for s in both["spans"] if s["part"] == "question"]
    assert asked == [f"Why {first}?", f"Why {second}?"] and both["layout"].count("+") == 1 and both["seed_id"] == "s1"
    assert both["tokens"] == len(Tokenizer.from_str(tokenizer_json).encode(both["text"]).ids)


def test_mix_has_documents_of_another_corpus_as_they_are_unless_left_out_or_withdrawn(spark, tokenizer_json):
    web = {"source": "web", "text": "Heat flows.", "tokens": 2, "lang": "en", "licence": "MIT"}
    documents = [
        {**web, "document_id": "d1", "line": 1},
        {**web, "document_id": "d2", "line": 2, "text": "Ice is cold.", "tokens": 3, "licence": "CC-BY-NC-4.0"},
        {**web, "document_id": "d3", "line": 3, "rule": "contaminated"},
        {**web, "document_id": "d4", "line": 4, "source": "books"},
    ]
    source = {"name": "web", "path": "p", "fields": {"text": "text"}}
    components = [Component(name="made", weight=1.0), Component(name="pages", of="corpus", source=source, passes=1)]
    conf = {"tokens": 1000, "passes": 2, "components": components}
    corpus, budgets = stored(spark, TABLES["corpus"], *documents), [cell("0541", "H4", 1)]
    gone = stored(spark, TABLES["withdrawal"], {"kind": "source", "value": "web"})

    def taken(**more):
        kept, rejects = chosen(spark, tokenizer_json, [item("a")], budgets, **conf, corpus=corpus, **more)
        assert rejects == []
        return sorted((r["component"], r["document_id"], r["pass"]) for r in kept), kept

    made = [("made", "a", 1), ("made", "a", 2)]
    found, kept = taken()
    assert found == [*made, ("pages", "d1", 1), ("pages", "d2", 1)]
    page = next(r for r in kept if r["document_id"] == "d1")
    assert (page["text"], page["tokens"], page["spans"], page["draft_ids"], page["seed_id"]) == (
        "Heat flows.",
        2,
        [],
        [],
        None,
    )
    assert (page["discipline"], page["format"], page["source"]) == (None, None, "web")
    assert taken(licence="CC-BY-4.0")[0] == [*made, ("pages", "d1", 1)]
    assert taken(withdrawal=gone)[0] == made
    assert taken(document="seed")[0] == found
