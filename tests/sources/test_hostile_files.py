"""Files that are damaged, or made to do damage: a reject for each record, or a sentence that names file and line."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from boostqa.config import Source
from boostqa.errors import ConfigError
from boostqa.sources import read_records
from udfs import compressed

NOT_UTF8 = "not UTF-8: "


def read(spark, path, **source):
    df = read_records(spark, Source(name="s", path=str(path), **({"fields": {"text": "t"}} | source)))
    rows = df.select("file", "line", "raw", "text", "question", "answer", "licence", "attribution").toPandas()
    return rows.sort_values(["file", "line"]).astype(object).where(rows.notna(), None)


def test_json_lines_that_are_no_utf8_or_half_a_character_are_malformed_and_their_evidence_is_text(spark, tmp_path):
    lines = [b'{"t": "caf\xe9"}', '{"t": "光"}'.encode("gbk"), rb'{"t": "\ud800 x"}', rb'{"t": "\ude00\ud83d"}']
    sound = [rb'{"t": "\ud83d\ude00"}', rb'{"t": "C:\\ud800"}', '{"t": "caf\u00e9 \ufffd"}'.encode()]
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join([*sound, *lines]))
    rows = read(spark, tmp_path / "a.jsonl")
    assert rows["text"].tolist() == ["😀", r"C:\ud800", "café \ufffd", None, None, None, None]
    assert rows["raw"].tolist()[3:] == [
        NOT_UTF8 + '{"t": "caf\ufffd"}', NOT_UTF8 + '{"t": "\ufffd\ufffd"}', r'{"t": "\ud800 x"}', r'{"t": "\ude00\ud83d"}'
    ]  # fmt: skip


def test_texts_and_columns_that_are_no_utf8_are_malformed(spark, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    (tmp_path / "b.txt").write_text("café")
    rows = read(spark, tmp_path, format="text", fields={})
    assert rows[["raw", "text"]].values.tolist() == [[NOT_UTF8 + "caf\ufffd", None], [None, "café"]]
    table = {"t": pa.array([b"caf\xe9", "café".encode()], pa.binary()), "at": pa.array([1, 2], pa.timestamp("ns"))}
    pq.write_table(pa.table(table), tmp_path / "c.parquet")
    rows = read(spark, tmp_path / "c.parquet", format="parquet")
    assert rows[["raw", "text"]].values.tolist() == [[NOT_UTF8 + "caf\ufffd", None], [None, "café"]]


def test_a_list_or_an_object_where_text_belongs_is_malformed(spark, tmp_path):
    fields = {"question": "q", "choices": "o", "answer": "a", "licence": "l"}
    records = [
        {"q": ["a", "b"], "a": "x"}, {"q": {"en": "a"}, "a": "x"}, {"q": "[1, 2] is", "a": "[1, 2)", "l": ["MIT"]},
        {"q": "Which?", "a": ["3", "5"]}, {"q": "Which?", "o": ["3", "5"], "a": ["B"]}, {"q": 3, "a": True},
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    rows = read(spark, tmp_path / "a.jsonl", kind="qa", fields=fields)
    assert rows[["raw", "question", "answer"]].values.tolist() == [
        ['question is no text: ["a","b"]', None, None], ['question is no text: {"en":"a"}', None, None],
        [None, "[1, 2] is", "[1, 2)"], ['answer is no text: ["3","5"]', None, None], [None, "Which?", "B"],
        [None, "3", "true"],
    ]  # fmt: skip
    pq.write_table(pa.table({"t": [["a"], None]}), tmp_path / "b.parquet")
    rows = read(spark, tmp_path / "b.parquet", format="parquet")
    assert rows["raw"].tolist() == ['text is no text: ["a"]', None]


def test_a_truncated_file_is_named_with_its_last_line(spark, tmp_path):
    packed = gzip.compress(b"".join(b'{"t": "%d"}\n' % (i * i) for i in range(50_000)))
    (tmp_path / "sound é.jsonl.gz").write_bytes(packed + packed)  # two members in a row are a file, too
    assert len(read(spark, tmp_path)) == 100_000
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[:-2000])
    with pytest.raises(ConfigError, match=r"cut\.jsonl\.gz:4\d{4}: Truncated"):
        read(spark, tmp_path)


def test_a_bomb_is_found_before_it_has_unpacked(tmp_path):
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(b"{}\n" * 10_000_000, 1))
    assert " bytes unpack to more than 26," in compressed.fault(str(bomb), large=3 << 20)
    bomb.write_bytes(gzip.compress(b"{}\n" + b" " * 30_000_000, 1))
    assert compressed.fault(str(bomb), longest_line=1 << 20) == "2: a line of more than 1,048,576 bytes"
    assert compressed.fault(str(bomb)) is None and compressed.fault(str(tmp_path / "absent.gz")) is None


def test_what_a_record_leaves_blank_is_its_own_source_s(spark, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"t": "x", "by": " "}\n{"t": "x", "by": "Ada"}\n{"t": "x"}\n')
    fields = {"text": "t", "attribution": "by"}
    ours, theirs = (read(spark, tmp_path, fields=fields, attribution=name) for name in ("Us", None))
    assert ours["attribution"].tolist() == ["Us", "Ada", "Us"] and theirs["attribution"].tolist() == [None, "Ada", None]
