import gzip
import json

import pytest
from py4j.protocol import Py4JError

from boostqa import basis, config
from boostqa.config import Source
from boostqa.errors import ConfigError, cause
from boostqa.sources import RECORD, check_ids, read_held_out, read_items, read_records
from boostqa.sources.read import _readable
from tests import held_out
from tests.processes import DEMO

DOCUMENT = {"doc_id": "id", "text": "text", "licence": "metadata.license"}


def lines(*records) -> str:
    return "\n".join(r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records) + "\n"


def collected(df) -> list:
    return df.orderBy("file", "line").collect()


def test_read_records_mapped_json_lines_hold_the_record_contract(spark, tmp_path):
    path = tmp_path / "a b+é.jsonl"
    path.write_text(
        lines(
            {"id": 7, "q": "Why?", "options": ["x", 2, None], "metadata": {"license": "MIT"}},
            {"id": True, "q": "How?", "options": None, "metadata": None},
        )
    )
    fields = {"doc_id": "id", "question": "q", "choices": "options", "licence": "metadata.license"}
    source = Source(name="s", path=str(path), kind="qa", fields=fields, licence="CC0-1.0", lang="en")
    df = read_records(spark, source)
    assert [(f.name, f.dataType) for f in df.schema] == [(f.name, f.dataType) for f in RECORD.schema]
    null = None
    assert [tuple(r) for r in collected(df)] == [
        ("s", str(path), 1, null, "qa", "7", null, null, null, "Why?", ["x", "2", ""], null, null, "en", "MIT", null),
        ("s", str(path), 2, null, "qa", "true", null, null, null, "How?", null, null, null, "en", "CC0-1.0", null),
    ]


def test_read_records_malformed_lines_stay_with_number_and_raw(spark, tmp_path):
    good = {"id": "a", "text": "t", "metadata": {"license": "MIT"}}
    broken = ['{"id": "b"', "[1]", "null", '{"id": "c"} {"id": "d"}', '{"id": "e", "metadata": "MIT"}', "x" * 400]
    path = tmp_path / "d.jsonl"
    path.write_text(lines("", good, *broken, "  ", good))
    rows = collected(read_records(spark, Source(name="s", path=str(path), fields=DOCUMENT, lang="en", licence="MIT")))
    assert [(r.line, r.raw) for r in rows] == [(2, None), *((i, b[:300]) for i, b in enumerate(broken, 3)), (10, None)]
    assert {v for r in rows[1:7] for v in (r.doc_id, r.text, r.lang, r.licence, r.choices)} == {None}


def test_read_records_files_of_several_blocks_line_numbers_are_exact(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    want = set()
    for name, length in (("one.jsonl", 60), ("two.jsonl", 40), ("three.jsonl.gz", 30)):
        numbers = range(1, length + 1)
        content = [json.dumps({"id": i, "text": "x" * (i * 13 % 90)}) if i % 7 else "" for i in numbers]
        data = "\n".join(content).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        want |= {(name, i, str(i)) for i in numbers if i % 7}
    before = spark.conf.get("spark.sql.files.maxPartitionBytes")
    spark.conf.set("spark.sql.files.maxPartitionBytes", "700b")
    try:
        df = read_records(spark, Source(name="s", path=str(tmp_path), fields={"doc_id": "id", "text": "text"}))
        rows = [tuple(r) for r in df.select("file", "line", "doc_id").collect()]
        blocks = spark.read.text(str(tmp_path / "one.jsonl")).select("_metadata.file_block_start").distinct().count()
    finally:
        spark.conf.set("spark.sql.files.maxPartitionBytes", before)
    assert blocks > 3
    assert set(rows) == want and len(rows) == len(want)


def test_read_records_parquet_and_delta_rows_are_numbered(spark, tmp_path):
    df = spark.range(5).selectExpr("id", "named_struct('t', concat('text ', id)) as body", "array('a', 'b') as options")
    for kind in ("parquet", "delta"):
        df.coalesce(1).write.format(kind).save(str(tmp_path / kind))
        fields = {"doc_id": "id", "question": "body.t", "choices": "options"}
        source = Source(name="s", path=str(tmp_path / kind), format=kind, kind="qa", fields=fields)
        rows = collected(read_records(spark, source).select("file", "line", "doc_id", "question", "choices", "raw"))
        assert [tuple(r)[1:] for r in rows] == [(i + 1, str(i), f"text {i}", ["a", "b"], None) for i in range(5)]


def test_table_of_a_catalog_is_a_source_and_another_version_of_it_is_told(spark):
    def state():
        return list(basis._state_of_table(spark, "spark_catalog.corpora.`texts`"))

    spark.sql("CREATE SCHEMA spark_catalog.corpora")
    df = spark.range(3).selectExpr("id", "concat('text ', id) as body").coalesce(1)
    for kind in ("parquet", "delta"):
        assert state() == []
        df.write.format(kind).saveAsTable("spark_catalog.corpora.texts")
        source = Source(
            name="s", path="spark_catalog.corpora.`texts`", format="table", fields={"doc_id": "id", "text": "body"}
        )
        rows = collected(read_records(spark, source).select("file", "line", "doc_id", "text"))
        assert [tuple(r)[1:] for r in rows] == [(i + 1, str(i), f"text {i}") for i in range(3)]
        first = state()
        assert first == state() != []
        df.write.format(kind).mode("append").saveAsTable("spark_catalog.corpora.texts")
        assert state() != first
        spark.sql("CREATE OR REPLACE VIEW spark_catalog.corpora.seen AS SELECT * FROM spark_catalog.corpora.texts")
        with pytest.raises(ConfigError, match=r"spark_catalog\.corpora\.seen is a view, .*: write it as a table"):
            read_records(spark, source.model_copy(update={"path": "spark_catalog.corpora.seen"}))
        spark.sql("DROP TABLE spark_catalog.corpora.texts")
    with pytest.raises(ConfigError, match="texts` does not exist or matches nothing"):
        read_records(spark, source)
    with pytest.raises(ValueError, match=r"'\./texts' is a folder or URI, and format table takes"):
        Source(name="s", path="./texts", format="table")
    spark.sql("DROP SCHEMA spark_catalog.corpora CASCADE")


def test_read_records_text_folder_one_record_per_file(spark, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.md").write_text("intro\n\n## The title ##\n\nbody\n")
    (tmp_path / "deep" / "b.txt").write_text("plain")
    (tmp_path / "skip.pdf").write_text("no")
    rows = collected(read_records(spark, Source(name="s", path=str(tmp_path), format="text", licence="MIT")))
    assert [(r.doc_id, r.line, r.title, r.text, r.licence) for r in rows] == [
        ("a.md", 1, "The title", "intro\n\n## The title ##\n\nbody\n", "MIT"),
        ("b.txt", 1, None, "plain", "MIT"),
    ]


def test_read_records_limit_takes_the_same_records_whatever_their_order(spark, tmp_path):
    records = [{"id": f"d{i}", "text": "t"} for i in range(9)]
    taken = []
    for name, content in (("a", ["oops", *records]), ("b", [*reversed(records), "oops"])):
        (tmp_path / name).write_text(lines(*content))
        fields = {"doc_id": "id", "text": "text"}
        rows = read_records(spark, Source(name="s", path=str(tmp_path / name), fields=fields, limit=4)).collect()
        taken.append(sorted((r.doc_id or "", r.raw or "") for r in rows))
    assert taken[0] == taken[1]
    assert len(taken[0]) == 5 and taken[0][0] == ("", "oops")


def test_read_records_field_that_only_a_later_record_has_is_accepted(spark, tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(lines({"id": "a", "text": "t"}, {"id": "b", "text": "t", "metadata": {"license": None}}))
    assert read_records(spark, Source(name="s", path=str(path), fields=DOCUMENT)).count() == 2


@pytest.mark.parametrize(
    ("content", "fields", "message"),
    [
        (
            lines({"id": "a", "text": "t", "metadata": {"lic": 1}}),
            DOCUMENT,
            "licence: no record of .* `metadata.license`",
        ),
        (
            lines({"id": "a", "text": "t", "metadata": {"lic": 1}}),
            DOCUMENT,
            "present: id, metadata, metadata.lic, text",
        ),
        ("\n \n", DOCUMENT, r"seed.sources\[s\].path: .*d.jsonl has no records"),
        (None, DOCUMENT, r"seed.sources\[s\].path: .*d.jsonl does not exist"),
        ("{}", {"text": "text", "license": "x"}, "unknown column license; known: doc_id"),
        ("{}", {"doc_id": "id"}, "text is not mapped"),
        ("{}", {"text": "a", "title": "a.b"}, "a is mapped both"),
    ],
)
def test_read_records_conf_that_does_not_fit_the_file_is_an_error(spark, tmp_path, content, fields, message):
    path = tmp_path / "d.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_records(spark, Source(name="s", path=str(path), fields=fields))


def test_read_records_file_of_another_format_is_an_error(spark, tmp_path):
    (tmp_path / "d.jsonl").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read as parquet"):
        read_records(spark, Source(name="s", path=str(tmp_path), format="parquet", fields={"text": "text"}))


def test_read_a_full_heap_is_no_fault_of_the_source():
    source = Source(name="s", path="s.jsonl", kind="document", licence="MIT", fields={"text": "t"})
    full = Py4JError("Caused by: java.lang.OutOfMemoryError: Java heap space")
    with pytest.raises(Py4JError) as raised, _readable(source, "seed.sources[s]"):
        raise full
    assert "spark.driver.memory" in str(cause(raised.value))


def test_read_items_are_normalised_and_defaulted(spark, tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_text(lines({"q": "⼀ ", "o": ["⽤", "b"], "s": "physics"}, {"q": "two", "o": None, "s": None}))
    source = Source(
        name="b", path=str(path), kind="qa", fields={"question": "q", "choices": "o", "subject": "s"}, lang="zh"
    )
    null = None
    assert [tuple(r) for r in read_items(spark, source).orderBy("item_id").collect()] == [
        ("b", f"{path}:1", "physics", "一", ["用", "b"], null, null, "zh", null, null),
        ("b", f"{path}:2", null, "two", null, null, null, "zh", null, null),
    ]


@pytest.mark.parametrize(("line", "message"), [("{oops", "not an object.*{oops"), ('{"q": " "}', "no question")])
def test_read_items_benchmark_with_a_hole_names_file_and_line(spark, tmp_path, line, message):
    path = tmp_path / "b.jsonl"
    path.write_text(lines({"q": "one"}, line))
    with pytest.raises(ConfigError, match=f"b.jsonl:2: {message}"):
        read_items(spark, Source(name="b", path=str(path), kind="qa", fields={"question": "q"}))


def test_held_out_are_the_items_of_benchmarks_and_of_the_probe_open_ones_too(spark, tmp_path):
    held_out.write(tmp_path)
    conf = config.load(DEMO, held_out.settings(tmp_path, config.load(DEMO)))
    items = read_held_out(spark, conf).select("benchmark", "question").collect()
    assert {r["benchmark"] for r in items} == {"demo_benchmark", "demo_probe", "open"}
    assert held_out.OPEN_ITEM["question"] in {r["question"] for r in items}


def test_id_that_comes_twice_in_a_source_of_items_is_refused_by_name(spark):
    columns = "benchmark string, item_id string"
    check_ids(spark.createDataFrame([("a", "1"), ("b", "1")], columns), "probe.items")
    twice = spark.createDataFrame([("a", "1"), ("b", "2"), ("b", "1"), ("b", "2"), ("b", "2")], columns)
    with pytest.raises(ConfigError, match=r"probe\.items\[b\]: 3 items have the id 2; ids are unique in a source"):
        check_ids(twice, "probe.items")
