import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.utils.data import DataLoader

from boostqa.config import Mix
from boostqa.errors import ConfigError
from boostqa.export import card, croissant, manifest
from boostqa.export.shards import export
from boostqa.schemas import CLEAN, MIX
from tests.rows import word_tokenizer
from udfs.writers import mds
from udfs.writers import shard as shards_udf
from udfs.writers.export import Export


def mixed(draft_id, text, tokens, *rest):
    """A MIX row, its text all one part."""
    span = {"part": "question", "start": 0, "end": len(text), "token_start": 0, "token_end": tokens}
    return (draft_id, 1, "synthesized", [draft_id], "seed", "main", text, tokens, "plain", [span], *rest)


ROWS = [
    mixed("b", "问题：二\n\n答案：2", 5, "zh", "0541", "H4", "multi_grade", "proof", "book", "CC-BY-4.0", "A | B", 1),
    mixed("a", "Question: 1", 3, "en", "0541", "H5", "multi_grade", "proof", "book", "CC-BY-4.0", "A | B", 1),
    mixed("c", "Question: 3", 2, "en", "0222", "H1", "multi_grade", "proof", "notes", "CC0-1.0", None, 0),
]

ORIGIN = {"rounds": ["main"], "versions": {"mix": 3}, "basis_hash": "basis"}


def of(*formats, **more):
    return Mix(tokens=100, shards=2, formats=list(formats), **more)


def frame(spark, rows=ROWS):
    return spark.createDataFrame(rows, MIX.schema)


def test_export_twice_with_other_row_order_gives_the_same_bytes_and_what_it_says(spark, tmp_path):
    first = export(frame(spark), str(tmp_path / "first"), of("parquet", "jsonl"), word_tokenizer())
    turned = frame(spark, ROWS[::-1]).repartition(2)
    again = export(turned, (tmp_path / "again").as_uri(), of("parquet", "jsonl"), word_tokenizer())
    assert again == first
    assert [(f["file"], f["rows"], f["tokens"]) for f in first] == [
        ("jsonl/part-00000-of-00002.jsonl.zst", 1, 2),
        ("jsonl/part-00001-of-00002.jsonl.zst", 2, 8),
        ("parquet/part-00000-of-00002.parquet", 1, 2),
        ("parquet/part-00001-of-00002.parquet", 2, 8),
    ]
    for f in first:
        content = (tmp_path / "again" / f["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (f["bytes"], f["sha256"])


def test_export_files_hold_the_rows_sorted_and_readable_in_both_formats(spark, tmp_path):
    export(frame(spark), str(tmp_path), of("parquet", "jsonl"), word_tokenizer())
    rows = pq.read_table(tmp_path / "parquet" / "part-00001-of-00002.parquet", schema=None).to_pylist()
    lines = pa.CompressedInputStream(str(tmp_path / "jsonl" / "part-00001-of-00002.jsonl.zst"), "zstd").read()
    assert {r["document_id"]: r["text"] for r in rows} == {"a": "Question: 1", "b": "问题：二\n\n答案：2"}
    assert "shard" not in rows[0]
    assert [json.loads(line) for line in io.BytesIO(lines)] == rows


def test_export_easy_first_has_the_lower_difficulties_first_in_each_shard(spark, tmp_path):
    levels = {f"{n:02}": f"H{n % 5 + 1}" for n in range(20)}
    rows = [mixed(i, i, 1, "en", "0541", d, *ROWS[0][-6:-1], 0) for i, d in levels.items()]
    found = {}
    for order in ("easy_first", "shuffled"):
        export(frame(spark, rows), str(tmp_path / order), of("parquet", order=order), word_tokenizer())
        found[order] = pq.read_table(tmp_path / order / "parquet", schema=None).column("document_id").to_pylist()
    assert [levels[i] for i in found["easy_first"]] == sorted(levels.values())
    assert sorted(found["shuffled"]) == sorted(levels) != found["shuffled"]
    assert [levels[i] for i in found["shuffled"]] != sorted(levels.values())


def arrow(rows, size):
    """MIX rows sorted by shard and document_id, in batches of `size`, as a task gets them."""
    ordered = sorted(
        (dict(zip(MIX.schema.names, row, strict=True)) for row in rows), key=lambda r: (r["shard"], r["document_id"])
    )
    table = pa.Table.from_pylist(ordered)
    kinds = [pa.field(f.name, pa.int32() if f.type == pa.int64() else f.type) for f in table.schema]
    return iter(table.cast(pa.schema(kinds)).to_batches(max_chunksize=size))


def test_export_streams_row_groups_of_a_fixed_size_however_rows_arrive(tmp_path, monkeypatch):
    monkeypatch.setattr(shards_udf, "ROW_GROUP_ROWS", 3)
    rows = [(f"{n:03}", *ROWS[0][1:-1], n % 2) for n in range(17)]
    found = {}
    for size in (1, 4, 100):
        about = Export(str(tmp_path / str(size)), ("parquet", "jsonl"), 2)
        files = [r for batch in shards_udf.shard_writer(about)(arrow(rows, size)) for r in batch.to_pylist()]
        found[size] = [(f["file"], f["rows"], f["tokens"], f["sha256"]) for f in files]
    assert found[1] == found[4] == found[100] and [(f[1], f[2]) for f in found[1]] == [
        (9, 45),
        (9, 45),
        (8, 40),
        (8, 40),
    ]
    file = pq.ParquetFile(tmp_path / "1" / "parquet" / "part-00001-of-00002.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [3, 3, 2]
    assert file.read().column("document_id").to_pylist() == [f"{n:03}" for n in range(1, 17, 2)]


def test_megatron_files_are_read_token_for_token_by_megatron_core(spark, tmp_path):
    megatron = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="make setup installs megatron-core")
    words = ["[UNK]", "Question:", "1", "3", "问题：二", "答案：2", "</s>"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    files = export(frame(spark), str(tmp_path), of("parquet", "megatron", end_of_text="</s>"), tokenizer.to_str())
    assert sorted(f["file"] for f in files if f["format"] == "megatron") == [
        f"megatron/part-0000{n}-of-00002.{kind}" for n in (0, 1) for kind in ("bin", "idx")
    ]
    for n in (0, 1):
        dataset = megatron.IndexedDataset(str(tmp_path / "megatron" / f"part-0000{n}-of-00002"))
        texts = pq.read_table(tmp_path / "parquet" / f"part-0000{n}-of-00002.parquet", schema=None).column("text")
        wanted = [[*tokenizer.encode(text.as_py()).ids, 6] for text in texts]
        assert [dataset[i].tolist() for i in range(len(dataset))] == wanted and wanted
        assert dataset.document_indices.tolist() == list(range(len(wanted) + 1))
        assert dataset.index.dtype.__name__ == "uint16"


READER = """
import json, sys, types
sys.modules["streaming.vision"] = types.ModuleType("streaming.vision")  # wants torchvision
from streaming import StreamingDataset
from torch.utils.data import DataLoader
data = StreamingDataset(local=sys.argv[1], shuffle=False, batch_size=2)
loader = DataLoader(data, batch_size=2, num_workers=0, collate_fn=list)
print(json.dumps([[data[i] for i in range(len(data))], [row for rows in loader for row in rows]], default=int))
"""


def test_mds_files_are_read_row_for_row_by_mosaicml_streaming(spark, tmp_path, monkeypatch):
    readers = Path(".cache/readers").absolute()
    if not (readers / "streaming").is_dir():
        pytest.skip("mosaicml-streaming is installed by make test (infra/readers.txt)")
    rows = [(f"{n:03}", *ROWS[n % 3][1:-1], n % 2) for n in range(17)]
    files = export(frame(spark, rows), str(tmp_path), of("parquet", "mds"), word_tokenizer())
    run = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path / "mds")], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(readers)},
    )  # fmt: skip
    by_index, by_loader = json.loads(run.stdout.splitlines()[-1])
    table = pq.read_table(tmp_path / "parquet", schema=None).to_pylist()
    assert (
        by_index == by_loader == [row | {"attribution": row["attribution"] or ""} for row in table] and len(table) == 17
    )
    assert [(f["file"], f["rows"]) for f in files if f["format"] == "mds"] == [
        ("mds/index.json", 0),
        ("mds/part-00000-of-00002.00000.mds.zstd", 9),
        ("mds/part-00001-of-00002.00000.mds.zstd", 8),
    ]


def test_mds_has_a_file_a_row_group_and_its_rows_are_found_by_place(tmp_path, monkeypatch):
    monkeypatch.setattr(shards_udf, "ROW_GROUP_ROWS", 3)
    rows = [(f"{n:03}", *ROWS[n % 3][1:-1], 0) for n in range(8)]
    about = Export(str(tmp_path), ("mds",), 1)
    files = [r for batch in shards_udf.shard_writer(about)(arrow(rows, 5)) for r in batch.to_pylist()]
    assert [(f["file"][-14:], f["rows"], f["tokens"]) for f in files] == [
        ("00000.mds.zstd", 3, 10), ("00001.mds.zstd", 3, 10), ("00002.mds.zstd", 2, 8),
    ]  # fmt: skip
    for f, (number, place) in zip(files, ((0, 2), (1, 1), (2, 2)), strict=True):
        raw = (tmp_path / f["file"]).read_bytes()
        row = mds.row(io.BytesIO(raw), place)
        assert (row and row["document_id"]) == (f"{3 * number + place:03}" if number < 2 else None)
        assert pa.decompress(raw, f["raw_bytes"], "zstd", asbytes=True)[:4] == bytes([f["rows"], 0, 0, 0])


def test_parquet_and_json_lines_are_read_alike_by_datasets(spark, tmp_path):
    datasets = pytest.importorskip("datasets", reason="make setup installs it")
    export(frame(spark), str(tmp_path), of("parquet", "jsonl"), word_tokenizer())
    about = {"split": "train", "cache_dir": str(tmp_path / "hub")}
    parquet = datasets.load_dataset("parquet", data_files=str(tmp_path / "parquet" / "*"), **about)
    lines = str(tmp_path / "jsonl" / "*")  # a column that is null in all of a first file has no type but from Parquet
    read = [parquet, datasets.load_dataset("json", data_files=lines, features=parquet.features, **about)]
    table = pq.read_table(tmp_path / "parquet", schema=None).to_pylist()
    assert list(read[0]) == list(read[1]) == table
    batches = DataLoader(read[0].select_columns(["text", "tokens"]).with_format("torch"), batch_size=3)
    assert [(b["text"], b["tokens"].tolist()) for b in batches] == [
        ([row["text"] for row in table], [row["tokens"] for row in table])
    ]


def test_croissant_is_read_with_all_rows_by_mlcroissant_without_a_word_of_complaint(spark, tmp_path, caplog):
    mlcroissant = pytest.importorskip("mlcroissant", reason="make setup installs it")
    files = export(frame(spark), str(tmp_path), of("parquet", "jsonl"), word_tokenizer())
    described = manifest.describe(frame(spark), files, ORIGIN)
    content = croissant.write(str(tmp_path), described)
    assert hashlib.sha256((tmp_path / "croissant.json").read_bytes()).hexdigest() == content
    read = mlcroissant.Dataset(str(tmp_path / "croissant.json"))
    assert not [r.message for r in caplog.records if "recommended" not in r.message]
    rows = [{k.removeprefix("items/"): v for k, v in row.items()} for row in read.records("items")]
    table = pq.read_table(tmp_path / "parquet", schema=None).drop_columns(["spans", "draft_ids"]).to_pylist()
    told = [{k: v.encode() if isinstance(v, str) else v for k, v in row.items()} for row in table]
    assert (
        sorted(rows, key=lambda r: r["document_id"]) == sorted(told, key=lambda r: r["document_id"]) and len(rows) == 3
    )
    assert read.metadata.license == ["CC-BY-4.0", "CC0-1.0"]


def test_croissant_of_an_export_without_parquet_names_no_records(spark, tmp_path):
    files = export(frame(spark), str(tmp_path), of("jsonl"), word_tokenizer())
    assert "recordSet" not in croissant.describe(manifest.describe(frame(spark), files, ORIGIN))


def test_end_of_text_that_the_tokenizer_does_not_have_is_refused(spark, tmp_path):
    with pytest.raises(ConfigError, match=r"mix.end_of_text: the target tokenizer has no token '<none>'"):
        export(frame(spark), str(tmp_path), of("megatron", end_of_text="<none>"), word_tokenizer())


def test_manifest_rewrite_with_fewer_files_is_stable_and_removes_only_stale_shards(spark, tmp_path):
    folder = str(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    export(frame(spark), folder, of("parquet", "jsonl"), word_tokenizer())
    shards = export(frame(spark), folder, of("parquet"), word_tokenizer())
    assert (tmp_path / "jsonl" / "part-00000-of-00002.jsonl.zst").exists()
    found = manifest.describe(frame(spark), shards, ORIGIN)
    manifest.write(folder, found)
    content = (tmp_path / "manifest.json").read_bytes()
    manifest.write(
        folder,
        manifest.describe(frame(spark, ROWS[::-1]), shards[::-1], ORIGIN),
    )
    assert (tmp_path / "manifest.json").read_bytes() == content
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [
        "manifest.json", "notes.txt", "part-00000-of-00002.parquet", "part-00001-of-00002.parquet",
    ]  # fmt: skip
    assert found["tokens_by"]["cell"] == {"0222 H1": 2, "0541 H4": 5, "0541 H5": 3}
    assert found["tokens_by"]["licence"] == {"CC-BY-4.0": 8, "CC0-1.0": 2}
    assert (found["rows"], found["tokens"]) == (3, 10)


def test_export_over_an_earlier_one_drops_its_manifest_until_a_new_one_is_written(spark, tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    export(frame(spark), str(tmp_path), of("parquet"), word_tokenizer())
    assert not (tmp_path / "manifest.json").exists()


def test_card_names_counts_licences_generators_and_failed_gates(spark, tmp_path):
    item = dict.fromkeys(CLEAN.schema.names, "x") | {"choices": None, "tokens": 9, "grade": "H4", "difficulty": "H4"}
    made = [item | {"draft_id": d, "generator": g} for d, g in zip("abcd", "mmno", strict=True)]
    clean = spark.createDataFrame(made, CLEAN.schema)
    shards = [
        {"file": "parquet/part-00000-of-00001.parquet", "format": "parquet", "rows": 3, "tokens": 10, "bytes": 12345}
    ]
    worth = {"round": "main", "check": "line", "defect": "wrong_answer", "items": 9, "passed": 1,
             "wilson_low": 0.0199, "wilson_high": 0.4350}  # fmt: skip
    found = {"controls": [worth], "contamination": [{"benchmark": "mmlu", "kind": "similar", "items": 4}]}
    described = manifest.describe(frame(spark), shards, ORIGIN | found)
    verdict = {
        "round": "main", "table": "clean", "gate": "min_rows", "success": False, "outcome": "warns", "observed": "3 items are left",
        "expected": "at least 9",
    }  # fmt: skip
    held = verdict | {"gate": "expect_table_columns_to_match_set", "success": True, "outcome": "holds"}
    text = card.card(frame(spark), clean, described, [verdict, held])
    about = DatasetCard(text).data.to_dict()
    assert about["license"] == ["cc-by-4.0", "cc0-1.0"] and about["language"] == ["en", "zh"]
    assert about["size_categories"] == ["n<1K"] and [card._size(n) for n in (1000, 2 * 10**9)] == ["1K<n<10K", "n>1B"]
    assert about["configs"] == [{"config_name": "default", "data_files": "parquet/*"}]
    assert f"| 0541 | Mathematics | 8 | 80.0% | {'█' * 20} |" in text
    assert f"| H5 | graduate or competition | 3 | 30.0% | {'█' * 12} |" in text
    assert "| 0541 Mathematics |  |  |  | █ 5 | ▓ 3 |" in text and "## Limits" in text
    assert "| CC-BY-4.0 | 8 | A \\| B |" in text
    assert "| m | 2 |\n| n | 1 |" in text
    assert "| o |" not in text
    assert "| main | clean | min_rows | **warns** | 3 items are left | at least 9 |" in text
    assert "Gates: 1 of 2 hold" in text
    assert "expect_table_columns" not in text
    assert "machine-made" in text
    assert "| main | line | wrong_answer | 9 | 1 | 2% to 44% |" in text and "| mmlu | similar | 4 |" in text
    assert "| H4 | 0 | 0 | 0 | 3 | 0 |" in text  # asked for as H4, measured as H4


def test_export_of_nothing_is_whole_and_its_card_says_why_first(spark, tmp_path):
    rows = frame(spark).where("tokens < 0")
    (tmp_path / "parquet").mkdir()
    (tmp_path / "parquet" / "part-00000-of-00001.parquet").write_text("of an earlier export")
    files = export(rows, str(tmp_path), of("parquet", "jsonl"), word_tokenizer())
    described = manifest.describe(rows, files, ORIGIN)
    verdict = {"round": "main", "table": "clean", "success": False, "expected": "at least 1"}
    voter = {"gate": "voter_better_than_chance", "outcome": "quarantined", "observed": "voter m guesses"}
    few = {"gate": "min_rows", "outcome": "warns", "observed": "0 items are left for the mix"}
    clean = spark.createDataFrame([], CLEAN.schema)
    text = card.card(rows, clean, described, [verdict | few, verdict | voter])
    manifest.write(str(tmp_path), described)
    assert json.loads((tmp_path / "manifest.json").read_text())["rows"] == 0
    assert not list((tmp_path / "parquet").iterdir())
    front, first = text.split("# BoostQA export\n\n")
    assert "license" not in front and "data_files" not in front
    assert first.startswith("**Nothing is exported.** Voter m guesses. 0 items are left for the mix.\n")
