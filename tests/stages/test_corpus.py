import pytest
from pyspark.sql import functions as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from boostqa.config import Seed
from boostqa.sources import RECORD
from boostqa.stages import corpus
from boostqa.stages.mix import _RENDERED
from tests.rows import row

CONF = Seed(sources=[{"name": "s", "path": "p"}], licences=["CC0-1.0", "MIT"])


@pytest.fixture(scope="module")
def tokenizer_json() -> str:
    """A token a byte, and one that ends a text."""
    made = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(pre_tokenizers.ByteLevel.alphabet())}, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.add_special_tokens(["</s>"])
    return made.to_str()


def record(line: int, text: str | None, **changes) -> dict:
    given = {"source": "web", "file": "f", "line": line, "text": text, "licence": "CC0-1.0", "lang": "en", **changes}
    return row(RECORD, **given)


def judged(spark, tokenizer_json, *records):
    return corpus.judged(spark.createDataFrame(list(records), RECORD.schema), tokenizer_json, CONF)


def test_corpus_records_are_kept_as_they_are_or_left_out_by_a_rule(spark, tokenizer_json):
    found = judged(
        spark, tokenizer_json,
        record(1, "Heat flows."), record(2, "Heat flows."), record(3, "The end </s> is a token."),
        record(4, None, raw="{"), record(5, " "), record(6, "Ours.", licence=None), record(7, "Yours.", licence="GPL-3.0-only"),
        record(8, "A benchmark's item."),
    )  # fmt: skip
    leaks = found.where("line = 8").select(
        F.col("document_id").alias("seed_id"), F.lit("verbatim").alias("kind"), F.lit("b/1").alias("evidence")
    )
    rows = {r["line"]: r for r in corpus.rows(found, leaks, "now").collect()}
    assert {line: (r["rule"], r["evidence"]) for line, r in rows.items() if r["rule"] != "exact_duplicate"} == {
        1: (None, None),
        3: (None, None),
        4: ("malformed", "{"),
        5: ("missing_field", "text"),
        6: ("licence_missing", None),
        7: ("licence_not_allowed", "GPL-3.0-only"),
        8: ("contaminated", "b/1"),
    }
    assert (rows[2]["rule"], rows[2]["evidence"]) == ("exact_duplicate", rows[1]["document_id"])
    assert (rows[1]["text"], rows[1]["tokens"], rows[1]["lang"], rows[1]["licence"]) == (
        "Heat flows.",
        11,
        "en",
        "CC0-1.0",
    )
    assert rows[3]["text"].replace("\u2060", "") == "The end </s> is a token." != rows[3]["text"]
    documents = corpus.documents(corpus.rows(found, leaks, "now"), "web", [*_RENDERED, "control_tokens"]).collect()
    assert {d["document_id"] for d in documents} == {rows[1]["document_id"], rows[3]["document_id"]}
    assert {(d["component"], d["round"], d["discipline"], d["draft_ids"] == []) for d in documents} == {
        ("web", "", None, True)
    }


def test_token_ids_become_their_text_and_those_of_another_tokenizer_are_told(spark, tokenizer_json):
    tokenizer = Tokenizer.from_str(tokenizer_json)
    end = tokenizer.token_to_id("</s>")
    good = tokenizer.encode("Wärme fließt.").ids
    given = [[end, *good, end], [*good, 5000], [*good[:1], end, *good[1:]], None, [-1]]
    columns = [
        F.lit(None).cast(RECORD.schema[name].dataType).alias(name) for name in ("raw", "lang", "licence", "attribution")
    ]
    records = spark.createDataFrame([(n, ids) for n, ids in enumerate(given)], "line long, token_ids array<bigint>")
    records = records.select("*", F.lit("web").alias("source"), F.lit("f").alias("file"), *columns)
    rows = {r["line"]: r for r in corpus.decoded(records, tokenizer_json).collect()}
    assert (rows[0]["text"], rows[0]["other"]) == ("Wärme fließt.", None) and rows[3]["text"] is None
    assert rows[1]["other"] == f"token {len(good)}: [5000] given, the text has []"
    assert rows[4]["other"] == "a token id below 0"
    kept = {
        r["line"]: (r["broken_rule"] or {"rule": None})["rule"]
        for r in corpus.judged(
            corpus.decoded(records, tokenizer_json).drop("raw").withColumn("raw", F.lit(None).cast("string")),
            tokenizer_json,
            CONF,
        ).collect()
    }
    assert kept == {
        0: "licence_missing",
        1: "other_tokenizer",
        2: "licence_missing",
        3: "missing_field",
        4: "other_tokenizer",
    }
