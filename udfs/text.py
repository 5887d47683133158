"""Text functions for Spark's Python workers: pandas Series in, pandas Series out, null stays null.

Knows nothing of Spark; the caller wraps what it needs with `pandas_udf`. Models (tokenizer, splitter, language
identifier) are loaded once per worker process.
"""

import os
import re
import unicodedata
from functools import lru_cache
from itertools import chain

import numpy as np
import pandas as pd
from py3langid.langid import MODEL_FILE, LanguageIdentifier
from tokenizers import Encoding, Tokenizer

from udfs.control_tokens import control_tokens
from udfs.language_tags import language
from udfs.splitting import Splitter

# Unified ideographs of U+2E80..U+2EF3 in order (Unicode 14, EquivalentUnifiedIdeograph.txt); the first (no equivalent)
# and U+2E9A (unassigned) stand for themselves. NFKC knows only two of this block, but all of U+2F00..U+2FD5.
_SUPPLEMENT = (
    "\u2e80厂乛乚乙亻冂𠘨刀刂卜㔾小小兀尣尢𡯂巳幺彑彐忄心扌攵\u2e9a旡日月歺母民氵氺灬爫爫丬牛犭王𤴔目示礻𥫗糹纟罓罒㓁冗𦉫羊𦍌𦍋耂肀"
    "聿肉𦥑艹艹艹虎衤覀西见角𧢲讠贝𧾷车辶辶辶邑钅長镸长门𨸏阝雨青韦页风飞食𩙿飠饣𩠐马骨鬼鱼鸟卤麦黄黾斉齐歯齿竜龙龜亀龟"
)
IDEOGRAPHS = dict(zip(map(chr, range(0x2E80, 0x2EF4)), _SUPPLEMENT, strict=True)) | {
    radical: unicodedata.normalize("NFKC", radical) for radical in map(chr, range(0x2F00, 0x2FD6))
}
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties.txt) but for the joiners, and the marks of annotations:
# soft hyphen, zero-width, bidirectional and tag characters, variation selectors. In the syntax of Python and Java.
_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Joiners are spelling in scripts from Arabic to Myanmar, Khmer and Mongolian; elsewhere nobody sees them.
INVISIBLE = f"[{_IGNORABLE}]|(?<![\u0600-\u109f\u1780-\u18af])[\u200c\u200d]"
# Radicals are replaced; control and invisible characters are dropped.
_ODD = re.compile(f"[\u2e80-\u2ef3\u2f00-\u2fd5\x00-\x08\x0e-\x1f\x7f-\x9f]|{INVISIBLE}")
_BLANK_LINES = re.compile(r"\n{4,}")
_LANGUAGE_CHARACTERS = 2000  # enough to tell a language; the rest of a long document costs time only
# A text is in a language outside the list where that is 50 times as likely as any on it: true of none of 12,078 English
# and Chinese texts (OpenStax, MMLU, MATH, CMMLU ...), of Spanish from one short sentence on.
_SURELY = 50


def _normalised(text: str) -> str:
    # What is dropped may part a letter from its accent. NFC maps the CJK compatibility ideographs, too: their
    # decompositions are canonical.
    text = _ODD.sub(lambda m: IDEOGRAPHS.get(m[0], ""), _LINE_END.sub("\n", text))
    text = unicodedata.normalize("NFC", text)
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n\n", text).strip("\n")


def normalise(text: pd.Series) -> pd.Series:
    """Strings or lists of strings in one spelling: NFC, unified CJK ideographs, nothing INVISIBLE, \\n line ends, two blank
    lines at most.

    Superscripts, full-width punctuation and formulas stay as they are: NFKC is never applied to the text as a whole.
    """
    return text.map(
        lambda v: v if v is None else _normalised(v) if isinstance(v, str) else [_normalised(s or "") for s in v]
    )


@lru_cache(maxsize=1)
def identifier() -> LanguageIdentifier:
    """The model that tells languages, loaded once in a process."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _identified(text: str, languages: tuple[str, ...]) -> str:
    likely: dict[str, float] = {}
    for label, probability in identifier().rank(text[:_LANGUAGE_CHARACTERS]):
        name = language(label) or label
        likely[name] = likely.get(name, 0.0) + probability
    best = max(languages, key=lambda name: likely.get(name, 0.0))
    first = max(likely, key=lambda name: likely[name])
    return first if likely[first] > _SURELY * likely.get(best, 0.0) else best


def identify_language(text: pd.Series, languages: tuple[str, ...]) -> pd.Series:
    """The most likely of `languages` (ISO 639-1) for each text, or the language outside them that the text surely is in;
    null where py3langid knows none of `languages`."""
    known = tuple(name for name in languages if name in identifier().labels)
    return text.map(lambda v: _identified(v, known) if known and v else None)


@lru_cache(maxsize=2)
def tokenizer_of(tokenizer_json: str) -> Tokenizer:
    """The tokenizer of a tokenizer.json's content, made once in a worker; it cuts and fills nothing."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # Spark runs one worker per core already
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@lru_cache(maxsize=2)
def _splitter(tokenizer_json: str, max_tokens: int) -> Splitter:
    return Splitter(tokenizer_of(tokenizer_json), max_tokens)


def _encoded(texts: pd.Series, tokenizer_json: str) -> list[Encoding]:
    return tokenizer_of(tokenizer_json).encode_batch_fast(texts.tolist(), add_special_tokens=False)


def count_tokens(texts: pd.Series, tokenizer_json: str) -> pd.Series:
    """Tokens of each text, special tokens not counted."""
    present = texts.dropna()
    encoded = _encoded(present, tokenizer_json)
    return pd.Series([len(e) for e in encoded], index=present.index, dtype="Int32").reindex(texts.index)


def decode(ids: pd.Series, tokenizer_json: str) -> pd.DataFrame:
    """[text, other] of token ids: the text without control tokens at its ends, and what is wrong with the ids: it has others
    under the tokenizer, or a control token stands inside; both null for null."""
    tokenizer, control = tokenizer_of(tokenizer_json), control_tokens(tokenizer_json)

    def one(row: np.ndarray | None) -> tuple[str | None, str | None]:
        if row is None:
            return None, None
        given = row.tolist()
        while given and given[-1] in control:
            given.pop()
        while given and given[0] in control:
            given.pop(0)
        if inside := [(n, control[i]) for n, i in enumerate(given) if i in control]:
            return None, f"token {inside[0][0]} is {inside[0][1]}: a list of ids is one document"
        try:
            text = tokenizer.decode(given, skip_special_tokens=False)
        except (OverflowError, TypeError):  # below 0, above 2^32, or none
            return None, "what is no token id"
        found = tokenizer.encode(text, add_special_tokens=False).ids
        if found == given:
            return text, None
        at = next(
            (n for n, (a, b) in enumerate(zip(found, given, strict=False)) if a != b), min(len(found), len(given))
        )
        return text, f"token {at}: {given[at : at + 3]} given, the text has {found[at : at + 3]}"

    return pd.DataFrame([one(row) for row in ids], columns=["text", "other"], index=ids.index)


def split(text: pd.Series, tokenizer_json: str, max_tokens: int) -> pd.Series:
    """Chunks of each text as a list of (chunk, tokens), at least one, in order, none over `max_tokens` tokens.

    Breaks between Markdown blocks where these fit (udfs/splitting.py); a text that fits is its own chunk, unchanged.
    """
    splitter = _splitter(tokenizer_json, max_tokens)
    chunks = [[] if v is None else splitter.chunks(v) for v in text]
    tokens = iter(count_tokens(pd.Series(list(chain.from_iterable(chunks)), dtype=object), tokenizer_json))
    return pd.Series([[(c, next(tokens)) for c in cs] or None for cs in chunks], index=text.index, dtype=object)
