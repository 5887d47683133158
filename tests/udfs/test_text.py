import gzip
import json
from pathlib import Path

import pandas as pd
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from udfs import text

CMMLU = Path(__file__).parents[3] / "shared" / "data" / "benchmarks" / "bench_cmmlu.jsonl.gz"


@pytest.fixture(scope="module")
def word_tokenizer() -> str:
    """A tokenizer.json for which one word or punctuation run is one token."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer.to_str()


def test_normalise_radicals_and_compatibility_ideographs_become_unified():
    got = text.normalise(pd.Series(["⼀个通⻛管⽤铁⽪", "⻄⻓⺠", "\uf9e4豈"]))
    assert got.tolist() == ["一个通风管用铁皮", "西长民", "理豈"]


def test_normalise_superscripts_and_full_width_punctuation_stay():
    kept = "10³ m²，ｘ＝½ ① ℃"
    assert text.normalise(pd.Series([kept])).tolist() == [kept]


def test_normalise_spacing_and_control_characters_are_unified():
    raw = "\ufeffe\u0301t\x07e\u200b\r\nb \t\rc\u2028d\n\n\n\n\ne\tf\n"
    assert text.normalise(pd.Series([raw])).tolist() == ["éte\nb\nc\nd\n\n\ne\tf"]


def test_normalise_drops_what_nobody_sees_and_keeps_joiners_that_are_spelling():
    hidden = "a so\u00adft\u200b li\U000e0041ne \u202eof\u2066 te\u2060\ufe0fxt\u200d e\u034f\u0301"
    assert text.normalise(pd.Series([hidden])).tolist() == ["a soft line of text é"]
    assert text.normalise(pd.Series(["می\u200cخواهم क्\u200dष \u200c."])).tolist() == ["می\u200cخواهم क्\u200dष ."]


def test_normalise_null_and_lists_keep_their_shape():
    got = text.normalise(pd.Series([None, ["⼀", None], "x"], dtype=object))
    assert got.tolist() == [None, ["一", ""], "x"]


@pytest.mark.skipif(not CMMLU.exists(), reason=f"{CMMLU} is not here")
def test_normalise_cmmlu_no_radical_survives():
    items = [json.loads(line) for line in gzip.decompress(CMMLU.read_bytes()).decode().strip().split("\n")]
    strings = pd.Series([s for item in items for s in (item["question"], *item["choices"])])
    radical = "[\u2e80-\u2fdf\uf900-\ufaff]"
    assert strings.str.contains(radical).sum() > 500
    assert not text.normalise(strings).str.contains(radical).any()


def test_identify_language_tells_other_languages_from_texts_that_do_not_say():
    known = [
        "What is the speed of light in a vacuum?",
        "光在真空中的速度是多少？",
        "10千克花生可榨油4.3千克，1千克花生可榨油多少千克？",
    ]
    unsaid = [
        "$x^2+1=0$",
        r"Evaluate $\lfloor 11.1 \rfloor + 2 \cdot \lfloor 0.5 \rfloor$",
        "Find quotient: $\\frac{-49}{-7}$",
    ]
    others = [
        "¿Cuál es la capital de España?",
        "Ein Hebel ist ein starrer Stab.",
        "Что это?",
        "日本の首都はどこですか？",
        "مرحبا بالعالم",
    ]
    texts = pd.Series([*known, *unsaid, *others, None])
    found = text.identify_language(texts, ("en", "zh")).tolist()
    assert found[:3] == ["en", "zh", "zh"] and set(found[3:6]) <= {"en", "zh"}
    assert found[6:] == ["es", "de", "ru", "ja", "ar", None]
    assert text.identify_language(texts, ("es", "ru", "tlh")).tolist()[6:9] == ["es", "de", "ru"]
    assert text.identify_language(texts, ("tlh",)).isna().all()


def test_count_tokens_null_stays_null(word_tokenizer):
    assert text.count_tokens(pd.Series(["one two", None, "x"]), word_tokenizer).tolist() == [2, pd.NA, 1]


def test_split_long_document_breaks_at_headings_within_the_limit(word_tokenizer):
    document = "# A\n\none two three.\n\nfour five six.\n\n# B\n\n" + "word " * 30
    chunks = text.split(pd.Series([document, None, "short"]), word_tokenizer, 12)
    assert chunks[0][0] == ("# A\n\none two three.\n\nfour five six.", 10)
    assert chunks[0][1][0].startswith("# B")
    assert all(0 < tokens <= 12 for _, tokens in chunks[0])
    assert sum(c.count("word") for c, _ in chunks[0]) == 30
    assert chunks[1] is None
    assert chunks[2] == [("short", 1)]


def test_split_heading_above_a_long_paragraph_stays_with_its_first_sentences(word_tokenizer):
    paragraph = "One two three four five six seven. " * 6
    (chunks,) = text.split(pd.Series([f"# The heading\n\n{paragraph}"]), word_tokenizer, 32)
    assert chunks[0] == ("# The heading\n\n" + paragraph[:104], 27)
    assert max(tokens for _, tokens in chunks) <= 32
