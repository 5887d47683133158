"""Values and files of Parquet as JSON Lines would have them."""

import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from boostqa.config import Source
from boostqa.errors import ConfigError
from boostqa.sources import read_records
from boostqa.sources.table_files import as_text

FIELDS = {"question": "q", "choices": "c", "answer": "a", "licence": "m.licence", "lang": "lang"}


def records(spark, path, kind="parquet", **more) -> list[tuple]:
    source = Source(name="s", path=str(path), format=kind, kind="qa", fields=FIELDS | more)
    rows = read_records(spark, source).orderBy("file", "line").collect()
    return [(r.file.rsplit("/", 1)[1], r.line, r.question, r.choices, r.answer, r.licence, r.lang, r.raw) for r in rows]


def test_read_parquet_of_several_schemas_as_json_lines(spark, tmp_path):
    tables = {
        "a b+é[1].parquet": {"q": ["one", "two"], "c": pa.nulls(2), "a": pa.nulls(2), "m": [{"licence": "MIT"}, None]},
        "b.parquet": {"q": ["three"], "a": pa.array([12], pa.int64()), "c": pa.array([[]], pa.list_(pa.null()))},
        "c.parquet": {"q": ["four"], "a": pa.array([Decimal("1.10")]), "m": [{"licence": ["MIT", "CC0-1.0"]}]},
        "d.parquet": {"q": ["five"], "a": ["B"], "c": [[1.5, 1e7]], "more": [1]},
        "e.parquet": {"q": [6], "a": [True], "m": ["MIT"]},
    }
    folder = tmp_path / "lang=en"
    folder.mkdir()
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / name)
    null = None
    assert records(spark, tmp_path) == [
        ("a b+é[1].parquet", 1, "one", null, null, "MIT", "en", null),
        ("a b+é[1].parquet", 2, "two", null, null, null, "en", null),
        ("b.parquet", 1, "three", null, "12", null, "en", null),
        ("c.parquet", 1, "four", null, "1.10", '["MIT","CC0-1.0"]', "en", null),
        ("d.parquet", 1, "five", ["1.5", "10000000.0"], "B", null, "en", null),
        ("e.parquet", 1, null, null, null, null, null, "m is not an object: MIT"),
    ]


def test_read_numbers_keep_their_digits_and_non_finite_ones_are_null(spark, tmp_path):
    texts = ["1.10", "0.1000", "12345678901234567890.5", "1e400", "-2.5E-3", "100000000000000000000", "true", '"NaN"']
    texts += ["NaN", "Infinity", "-Infinity", '"1,5"']
    lines = [f'{{"q": "Why?", "a": {text}, "m": {{"licence": NaN}}, "score": 0.5}}' for text in texts]
    (tmp_path / "f.jsonl").write_text("\n".join(lines) + "\n")
    fields = {"question": "q", "answer": "a", "licence": "m.licence"}
    source = Source(name="s", path=f"{tmp_path}/f.jsonl", kind="qa", fields=fields)
    read = read_records(spark, source).orderBy("line").collect()
    assert [r.answer for r in read] == [*(t.strip('"') for t in texts[:8]), None, None, None, "1,5"]
    assert {(r.question, r.licence, r.raw) for r in read} == {("Why?", None, None)}


def test_as_text_is_what_json_lines_would_hold(spark):
    values = {
        "1.0D": "1.0", "1e10D": "10000000000.0", "123456789.125D": "123456789.125", "1.5e-5D": "0.000015", "-1e7D": "-10000000.0",
        "1.2345678901234568e-5D": "0.000012345678901234568", "1e300D": "1.0E300", "double('NaN')": None, "0D": "0.0",
        "float('-Infinity')": None, "float(1.1)": "1.1", "1.10BD": "1.10", "cast(0 as decimal(38, 18))": "0." + 18 * "0",
        "7": "7", "true": "true", "'NaN'": "NaN", "null": None, "array(1.10BD, null)": '["1.10",null]',
        "array(array(1, 2), array(3))": '[["1","2"],["3"]]', "map('A', 1.5D, 'B', double('NaN'))": '{"A":"1.5","B":null}',
        "named_struct('text', array('x'), 'label', array('A'))": '{"text":["x"],"label":["A"]}',
        "array(named_struct('label', 'A', 'text', null))": '[{"label":"A","text":null}]',
    }  # fmt: skip
    row = spark.range(1).select(*(F.expr(value).alias(f"c{i}") for i, value in enumerate(values)))
    texts = row.select(*(as_text(F.col(c.name), c.dataType).alias(c.name) for c in row.schema)).first()
    assert dict(zip(values, texts, strict=True)) == values


def test_read_a_file_that_is_no_parquet_is_named(spark, tmp_path):
    pq.write_table(pa.table({"q": ["Why?"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text(json.dumps({"q": "Why?"}))
    source = Source(name="s", path=str(tmp_path), format="parquet", kind="qa", fields={"question": "q"})
    with pytest.raises(ConfigError, match=r"cannot be read as parquet: .*b\.parquet is not a Parquet file"):
        read_records(spark, source)
