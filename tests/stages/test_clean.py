from boostqa.config import Clean
from boostqa.schemas import CLEAN, CONTAMINATION, REFINED, SEED
from boostqa.stages.clean import clean, contaminate, rejects_of_unfit, rejects_with_duplicates
from boostqa.stages.decontaminate import held_out
from tests.rows import frame, row, word_tokenizer

CONF = Clean(benchmarks=[])
REJECTS = "stage string, key string, rule string, evidence string, request_ids array<string>"
OPTIONS = ["red", "blue", "green", "grey"]
BENCHMARK = "benchmark string, item_id string, lang string, question string, choices array<string>, answer string"
SENTENCE = (
    "A block of mass two kilograms slides down a rough plane inclined at thirty degrees; find its acceleration when "
    "the coefficient of kinetic friction between block and plane equals one tenth and air resistance is neglected."
)
OTHER = "A copper wire of two metres carries four amperes through a field of half a tesla that stands at right angles to it."


def item(draft_id: str, **changes) -> dict:
    usual = {"seed_id": "s1", "question": f"Which law relates force and acceleration in case {draft_id}?"}
    usual |= {"answer": "Newton's second law", "solution": "It follows.", "draft_answer": "Newton's second law"}
    return row(REFINED, draft_id=draft_id, **usual | changes)


def seed(seed_id: str, **changes) -> dict:
    usual = {"seed_id": seed_id, "source": "book", "licence": "CC-BY-4.0", "attribution": "OpenStax"}
    return row(SEED, **usual | {"text": "Forces change motion."} | changes)


def refined(spark, *items: dict):
    return frame(spark, REFINED, *items)


def test_unfit_items_are_those_of_the_rules_on_text(spark):
    items = [item("short", question="What is it?"), item("empty", answer=" "), item("fine")]
    rows = rejects_of_unfit(refined(spark, *items), frame(spark, SEED, seed("s1")), CONF).collect()
    assert {(r["key"], r["rule"], r["stage"]) for r in rows} == {
        ("short", "question_too_short", "clean"), ("empty", "empty_answer", "clean")
    }  # fmt: skip


def test_with_duplicates_rejects_each_item_once_for_the_first_reason(spark):
    items = [
        item("broken", answer=""),
        item("twin 1", question="Why does a moving charge feel a force?"),
        item("twin 2", question="Why does a moving charge feel a force ?"),
        item("options", question="Why does a moving charge feel a force?", choices=OPTIONS),
        item("copy", question=SENTENCE.replace("two kilograms", "three kilograms")),
        item("draft 1", question="Now consider this. " + SENTENCE.replace("block", "crate")),
        item("draft 2", question="Now consider this! " + SENTENCE.replace("block", "crate") + " Explain."),
        item("fine"),
        item("again", question="Why does ice float on water in a glass?"),
        item("nearly", question=f"{OTHER} Explain."),
    ]
    earlier = [
        row(CLEAN, draft_id="old 1", question="Why does ice float, on water in a glass?"),
        row(CLEAN, draft_id="old 2", question=OTHER),
    ]
    seeds = [seed("s1"), seed("s2", kind="qa", question=SENTENCE, text=f"{SENTENCE}\n1.2")]
    unfit = spark.createDataFrame([("clean", "broken", "empty_answer", "", None)], REJECTS)
    of_seeds, made = spark.createDataFrame(seeds, SEED.schema), spark.createDataFrame(earlier, CLEAN.schema)
    rows = rejects_with_duplicates(refined(spark, *items), unfit, of_seeds, made, CONF).collect()
    found = {r["key"]: (r["rule"], r["evidence"]) for r in rows}
    assert len(rows) == len(found) == 6
    assert (found["again"], found["nearly"]) == (("exact_duplicate", "old 1"), ("near_duplicate", "old 2"))
    assert found["broken"] == ("empty_answer", "")
    assert found["copy"] == ("near_duplicate_of_seed", "s2")
    assert found.get("twin 1", found.get("twin 2"))[0] == "exact_duplicate"
    assert found.get("draft 1", found.get("draft 2")) in [("near_duplicate", "draft 1"), ("near_duplicate", "draft 2")]


def test_contaminate_finds_leaks_in_item_and_passage_of_what_was_not_rejected(spark):
    leak = "one two three four five six seven eight nine ten eleven twelve thirteen"
    items = [item("q", question=leak), item("p", seed_id="s2"), item("gone", question=leak), item("fine")]
    seeds = spark.createDataFrame([seed("s1"), seed("s2", text=leak)], SEED.schema)
    rejected = spark.createDataFrame([("gone",)], "key string")
    benchmark = spark.createDataFrame([("b", "i", "en", leak, None, None)], BENCHMARK)
    rows = contaminate(refined(spark, *items), rejected, seeds, held_out(benchmark, CONF), CONF)
    assert rows.columns == CONTAMINATION.schema.names
    assert {(r["draft_id"], r["field"], r["source"]) for r in rows.collect()} == {
        ("q", "question", "book"),
        ("p", "passage", "book"),
    }


def test_clean_keeps_what_is_left_with_the_provenance_of_its_seed(spark):
    leak = {"draft_id": "leak", "benchmark": "b", "match": "m", "kind": "verbatim", "field": "question", "score": 1.0}
    close = leak | {"benchmark_item": "a", "kind": "similar", "score": 0.456}
    leaks = [close, leak | {"benchmark_item": "i"}, leak | {"field": "passage", "benchmark_item": "j"}]
    leaks += [close | {"draft_id": "close", "score": 0.3}, close | {"draft_id": "close", "benchmark_item": "z"}]
    rows, rejects = clean(
        refined(
            spark,
            item("leak"),
            item("close"),
            item("gone"),
            item("kept", status="corrected"),
            item("lost", seed_id="s9"),
        ),
        spark.createDataFrame([("gone",)], "key string"),
        frame(spark, CONTAMINATION, *leaks),
        spark.createDataFrame([seed("s1")], SEED.schema),
        word_tokenizer(),
    )
    assert rows.columns == CLEAN.schema.names
    (kept,) = rows.collect()
    assert kept["tokens"] > 4
    assert (kept["draft_id"], kept["status"], kept["licence"], kept["attribution"]) == (
        "kept", "corrected", "CC-BY-4.0", "OpenStax"
    )  # fmt: skip
    assert {(r["key"], r["rule"], r["evidence"]) for r in rejects.collect()} == {
        ("leak", "contaminated", "b/i question: m"),
        ("close", "similar_to_benchmark", "b/z question (0.46): m"),
        ("lost", "seed_withdrawn", "s9"),
    }
