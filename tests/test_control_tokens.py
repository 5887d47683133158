"""A text about a control token is kept and encoded as text, whatever tokenizer the target has."""

import json
import lzma
from pathlib import Path

import pytest
from pyspark.sql import functions as F
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from boostqa.control_tokens import escaped, escaped_each, unescaped
from udfs.control_tokens import SEPARATOR, control_tokens

ROOT = Path(__file__).parents[1]
SMOLLM = ROOT / ".cache/models/SmolLM2-135M-Instruct/tokenizer.json"
QWEN = ROOT.parent / "shared/data/tokenizers/qwen3_tokenizer.json.xz"


def byte_level(special: tuple[str, ...], plain: tuple[str, ...] = (), normalizer=None, **flags) -> str:
    """A tokenizer.json of bytes with added tokens, as Llama, Mistral and Gemma have them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, **flags) for t in special])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in plain])
    return tokenizer.to_str()


LLAMA = (
    "<s>",
    "</s>",
    "<unk>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<SYS>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<｜User｜>",
)
GEMMA = (
    "<table>",
    "</strong>",
    "<h1>",
    "\n\n",
    "    ",
    "▁▁",
    "<unused0>",
    "<think>",
    "</answer>",
    "[multimodal]",
    "word",
    "\t",
)


def tokenizers() -> dict[str, str]:
    found = {
        "llama": byte_level(LLAMA),
        "stripping": byte_level(LLAMA, normalizer=normalizers.NFKC(), lstrip=True, rstrip=True),
        "gemma": byte_level(("<start_of_turn>", "<eos>"), GEMMA),
    }
    if SMOLLM.exists():
        found["smollm"] = SMOLLM.read_text(encoding="utf-8")
    if QWEN.exists():
        found["qwen"] = lzma.decompress(QWEN.read_bytes()).decode()
    return found


def test_control_tokens_are_special_or_markup_that_is_no_html():
    found = set(control_tokens(byte_level(("<start_of_turn>", "<eos>", "\ue000"), GEMMA)).values())
    assert found == {"<start_of_turn>", "<eos>", "<unused0>", "<think>", "</answer>", "[multimodal]"}
    assert control_tokens(json.dumps({"added_tokens": []})) == {}


@pytest.mark.parametrize("name", ["smollm", "qwen"])
def test_control_tokens_of_a_real_tokenizer_are_all_it_added(name):
    if name not in tokenizers():
        pytest.skip(f"the tokenizer {name} is not here")
    added = json.loads(tokenizers()[name])["added_tokens"]
    assert list(control_tokens(tokenizers()[name]).values()) == [t["content"] for t in added]


def test_escaped_texts_encode_to_no_control_token_and_read_as_before(spark):
    """Every token alone, in words, beside every other one, inside itself, in LaTeX, HTML and code; twice is once."""
    for name, tokenizer_json in tokenizers().items():
        tokenizer, tokens = Tokenizer.from_str(tokenizer_json), control_tokens(tokenizer_json)
        names, normal = list(tokens.values()), tokenizer.normalizer.normalize_str if tokenizer.normalizer else str
        texts = [
            t.format(token)
            for token in names
            for t in ("{0}", "a{0}b", " {0} \n", "{0}{0}", "$x{0}$", "<{0}>", "`{0}`")
        ]
        texts += [a + b[1:] for a in names for b in names] + [a[:-1] + b for a in names for b in names]
        texts += ["the bra $<|x|>$", "a < b | c > d", "<b>bold</b>", "", "中文" + names[0] + "文字"]
        rows = spark.createDataFrame([{"text": t} for t in texts], "text string")
        once = rows.select("text", escaped(F.col("text"), names).alias("once"))
        got = once.select(
            "text", "once", escaped(F.col("once"), names).alias("twice"), unescaped(F.col("once")).alias("back")
        )
        for row in got.collect():
            encoded = tokenizer.encode(row["once"], add_special_tokens=False)
            assert not tokens.keys() & set(encoded.ids), (name, row["text"])
            assert tokenizer.decode(encoded.ids, skip_special_tokens=False) == normal(row["once"]), (name, row["text"])
            assert row["twice"] == row["once"] and row["back"] == row["text"]
            held = any(token in row["text"] for token in names)
            assert (SEPARATOR in row["once"]) == held, (name, row["text"])


def test_escaped_null_and_lists_keep_their_shape(spark):
    rows = spark.createDataFrame([{"a": None, "b": ["</s>", "x"]}, {"a": "x", "b": None}], "a string, b array<string>")
    got = rows.select(escaped(F.col("a"), ["</s>"]).alias("a"), escaped_each(F.col("b"), ["</s>"]).alias("b")).collect()
    assert [tuple(r) for r in got] == [(None, [f"<{SEPARATOR}/s>", "x"]), ("x", None)]
