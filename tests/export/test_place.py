import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from boostqa.errors import ConfigError
from boostqa.export import manifest
from boostqa.export.place import item_at
from boostqa.export.shards import export
from tests.export.test_shards import ORIGIN, frame, of


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
