"""Rows that hold a table's contract, made from what a test wants to say about them."""

from collections.abc import Iterator
from datetime import datetime
from itertools import count

from pyspark.sql import functions as F
from tokenizers import Tokenizer, models, pre_tokenizers

from boostqa.schemas import COMPLETION, Table
from boostqa.vocabulary import ONLY_ROUND
from udfs.rendering import layout_of

SHA = "a" * 64
# What a column holds where a test says nothing; a column that may be null holds null.
BY_NAME = {
    "kind": "document", "lang": "en", "licence": "MIT", "item_table": "seed", "discipline": "0541", "difficulty": "H4",
    "grade": "H4", "method": "letter", "strategy": "multi_grade", "format": "short_answer", "stage": "refine",
    "spans": [], "finish_reason": "stop", "status": "agreed", "field": "answer", "question": "Why is the sky blue?",
}  # fmt: skip
BY_TYPE = {
    "string": SHA, "double": 0.5, "array<string>": [], "timestamp": datetime(2026, 1, 1), "bigint": 0, "int": 0,
    "boolean": True,
}  # fmt: skip


def row(contract: Table, /, **changes) -> dict:
    """One row as a dict in the order of the columns."""
    unknown = set(changes) - set(contract.schema.names)
    assert not unknown, f"{contract.name} has no {unknown}"

    def default(column):
        return None if column.nullable else BY_NAME.get(column.name, BY_TYPE.get(column.dataType.simpleString(), {}))

    return {column.name: default(column) for column in contract.columns} | changes


def frame(spark, table: Table, *changes: dict):
    """A DataFrame of the table with a row for each dict of changes."""
    return spark.createDataFrame([tuple(row(table, **c).values()) for c in changes], table.schema)


def stored(spark, table: Table, *changes: dict):
    """`frame` as it is stored: with the only round of a conf that declares none."""
    rows = frame(spark, table, *changes)
    return rows.withColumn("round", F.lit(ONLY_ROUND)) if table.by_round else rows


def exported(draft_id: str, **changes) -> dict:
    """What a row of the mix says of an item that is a document by itself."""
    return {"document_id": draft_id, "draft_ids": [draft_id], "pass": 1, **changes}


def alike(name: str) -> Iterator[str]:
    """Ids that begin with a name and draw one layout: their texts differ in nothing that the layout writes."""
    return (i for n in count() if layout_of(i := f"{name}-{n}", "en").name == "question")


def word_tokenizer() -> str:
    """tokenizer.json of a tokenizer for which a word is a token."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer.to_str()


def ledger(spark, rows):
    """(request_id, text, finish_reason, error) as the ledger's columns that parsing reads."""
    return spark.createDataFrame(rows, "request_id string, text string, finish_reason string, error string")


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
