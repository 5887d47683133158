import pytest
from pyspark.sql import functions as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from boostqa.config import Seed, Source
from boostqa.errors import ConfigError
from boostqa.sources import RECORD, read_token_ids
from boostqa.stages import corpus
from boostqa.stages.mix import _RENDERED
from tests.rows import row

CONF = Seed(sources=[{"name": "s", "path": "p"}], licences=["CC0-1.0", "MIT", "CC-BY-4.0"])


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
        record(8, "A benchmark's item."), record(9, "Whose?", licence="CC-BY-4.0"),
        record(10, "Said twice.", licence=None), record(11, "Said twice."), record(12, "Said twice."),
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
        9: ("attribution_missing", "CC-BY-4.0"),
        10: ("licence_missing", None),
        11: (None, None),  # the first that may be used
    }
    for n, first in ((2, 1), (12, 11)):
        assert (rows[n]["rule"], rows[n]["evidence"]) == ("exact_duplicate", rows[first]["document_id"])
    assert (rows[1]["text"], rows[1]["tokens"], rows[1]["lang"], rows[1]["licence"]) == (
        "Heat flows.",
        11,
        "en",
        "CC0-1.0",
    )
    assert rows[3]["text"].replace("\u2060", "") == "The end </s> is a token." != rows[3]["text"]
    documents = corpus.documents(
        corpus.rows(found, leaks, "now").where("rule is null"), "web", [*_RENDERED, "control_tokens"]
    ).collect()
    assert {d["document_id"] for d in documents} == {rows[n]["document_id"] for n in (1, 3, 11)}
    assert {(d["component"], d["round"], d["discipline"], d["draft_ids"] == []) for d in documents} == {
        ("web", "", None, True)
    }


def test_token_ids_become_their_text_and_what_is_wrong_with_them_is_told(spark, tokenizer_json):
    tokenizer = Tokenizer.from_str(tokenizer_json)
    end, good = tokenizer.token_to_id("</s>"), tokenizer.encode("Wärme fließt.").ids
    given = [[end, *good, end], [*good, 5000], [*good, end, *good], [-1], [2**40], [*good, None]]
    records = spark.createDataFrame([(n, ids) for n, ids in enumerate(given)], "line long, token_ids array<bigint>")
    rows = {r["line"]: r for r in corpus.decoded(records, tokenizer_json).collect()}
    assert (rows[0]["text"], rows[0]["other"]) == ("Wärme fließt.", None)
    assert rows[1]["other"] == f"token {len(good)}: [5000] given, the text has []"
    assert rows[2]["other"] == f"token {len(good)} is </s>: a list of ids is one document"
    assert {rows[n]["other"] for n in (3, 4, 5)} == {"what is no token id"}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_token_ids_are_read_with_their_place_from_lists_of_whole_numbers(spark, tmp_path, tokenizer_json, form):
    first, last = (Tokenizer.from_str(tokenizer_json).encode(text).ids for text in ("ab", "c"))
    lines = [f'{{"ids": {first}}}', "", '{"ids": "x"}', f'{{"ids": {last}}}']
    if form == "jsonl":
        (tmp_path / "ids").write_text("\n".join(lines))
    else:
        spark.createDataFrame([(first,), (None,), (last,)], "ids array<int>").coalesce(1).write.parquet(
            f"{tmp_path}/ids"
        )
    about = {"name": "web", "path": f"{tmp_path}/ids", "format": form, "licence": "MIT"}
    source = Source(**about, fields={"token_ids": "ids"})
    rows = read_token_ids(spark, source, "here").orderBy("line").collect()
    assert [(r["line"], r["token_ids"]) for r in rows if not r["raw"]] == (
        [(1, first), (4, last)] if form == "jsonl" else [(1, first), (3, last)]
    )
    assert [(r["line"], r["raw"]) for r in rows if r["raw"]] == ([(3, lines[2])] if form == "jsonl" else [(2, "null")])
    judged = corpus.judged(corpus.decoded(read_token_ids(spark, source, "here"), tokenizer_json), tokenizer_json, CONF)
    assert sorted((r["broken_rule"] or {"rule": ""})["rule"] for r in judged.collect()) == ["", "", "malformed"]
    few = read_token_ids(spark, source.model_copy(update={"limit": 1}), "here")
    assert few.where("raw is null").count() == 1
    with pytest.raises(ConfigError, match=r"here\.fields"):
        read_token_ids(spark, source.model_copy(update={"fields": {"token_ids": "id"}}), "here").collect()
