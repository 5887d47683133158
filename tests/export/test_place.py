import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from boostqa.errors import ConfigError
from boostqa.export import manifest
from boostqa.export.place import item_at
from boostqa.export.shards import export
from tests.export.test_shards import ORIGIN, ROWS, frame, of


@pytest.fixture(scope="module")
def folder(spark, tmp_path_factory):
    """An export of two shards: in the second "a" has 2 words and an end, "b" 2 and an end."""
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "</s>": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    place = str(tmp_path_factory.mktemp("export"))
    files = export(frame(spark), place, of("parquet", "jsonl", "megatron", end_of_text="</s>"), words.to_str())
    manifest.write(place, manifest.describe(frame(spark), files, ORIGIN))
    return place


@pytest.mark.parametrize(
    ("place", "item"),
    [
        ("parquet/part-00001-of-00002.parquet:1", "b"),
        ("jsonl/part-00001-of-00002.jsonl.zst:0", "a"),
        ("/anywhere/mix/parquet/part-00000-of-00002.parquet:0", "c"),
        ("megatron/part-00001-of-00002.bin@0", "a"),
        ("megatron/part-00001-of-00002.bin@2", "a"),  # the end of its text
        ("megatron/part-00001-of-00002.bin@3", "b"),
        ("megatron/part-00001-of-00002.bin@5", "b"),
        ("4f3a", None),
    ],
)
def test_place_in_an_exported_file_is_the_item_that_stands_there(folder, place, item):
    assert item_at(folder, place) == item


def test_token_of_a_document_of_several_items_is_of_the_one_that_has_it(spark, tmp_path):
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "</s>": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    place, rows = str(tmp_path), []
    for document in ("ab", "cd"):
        spans = [
            {"part": part, "start": 0, "end": 0, "token_start": n, "token_end": n + 1}
            for n, part in ((0, "question"), (1, "answer"), (3, "question"))
        ]
        rows.append((document, 1, "c", list(document), "s", "main", "Q: A Q: B", 4, "plain", spans, *ROWS[0][-9:-1], 0))
    files = export(frame(spark, rows), place, of("parquet", "megatron", end_of_text="</s>"), words.to_str())
    manifest.write(place, manifest.describe(frame(spark, rows), files, ORIGIN))
    at = [item_at(place, f"megatron/part-00000-of-00002.bin@{n}") for n in range(10)]
    assert sorted(["".join(at[:5]), "".join(at[5:])]) == ["aaabb", "cccdd"]  # the end's token is the last one's


@pytest.mark.parametrize(
    ("place", "mistake"),
    [
        ("parquet/part-00001-of-00002.parquet:2", "the file has 2 rows, 0 to 1"),
        ("parquet/part-00007-of-00009.parquet:2", "no such file in the export"),
        ("megatron/part-00001-of-00002.bin@6", "the file ends before that token"),
        ("megatron/part-00001-of-00002.bin:1", "write megatron/part-00001-of-00002.bin@TOKEN, counted from 0"),
        ("parquet/part-00001-of-00002.parquet@1", "write parquet/part-00001-of-00002.parquet:ROW, counted from 0"),
    ],
)
def test_place_that_is_not_there_is_refused_with_what_is(folder, place, mistake):
    with pytest.raises(ConfigError, match=mistake):
        item_at(folder, place)
