"""The one normalisation for matching texts: folded, cut into units (words or characters), and runs of units.

Deduplication, decontamination, probe items and the repetition rule all match what this module makes of a text. It folds
spelling (case, width, script, lookalike letters, punctuation, notation of formulas) and keeps what tells one question
from another.
"""

import unicodedata
from functools import cache, reduce
from pathlib import Path

from opencc import OpenCC
from pyspark.sql import Column
from pyspark.sql import functions as F

from boostqa.formulas import MAY_BE_FORMULA, let, one_spelling, where
from udfs.text import IDEOGRAPHS, INVISIBLE

_CJK = r"\p{IsHan}\p{IsHiragana}\p{IsKatakana}"
_HAN_RANGES = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0x20000, 0x323B0))
# One after the other they bring the variants of Taiwan, Hong Kong and the mainland to one character.
_TO_SIMPLIFIED = ("tw2s", "hk2s", "s2t", "tw2s")
_SAME_IN_WORDS_ONLY = {"幺": "么", "瞭": "了", "覆": "复", "像": "象", "藉": "借"}  # 什幺, 瞭解, 答覆, 圖像, 藉口
# Where Unicode has a character twice (NFKC): full-width forms, letters of mathematics, Greek variants, micro, kelvin.
_COMPATIBLE_RANGES = ((0xB5, 0xB6), (0x3D0, 0x3F6), (0x2100, 0x2150), (0x1D400, 0x1D800), (0xFF01, 0xFFEF))
_SIGNS = {
    "-": "−‐‑‒–—―﹣", "'": "’‘ʼ`´", "/": "÷∕⁄", "·": "⋅∙•‧・", "*": "∗", "|": "∣", ":": "∶", "≤": "⩽≦", "≥": "⩾≧", "∆": "",
    "Δ": "∆", "′": "ʹ", "→": "⟶", "⇒": "⟹", "∅": "⌀", " ": "\u3000\u00a0", "σ": "Σς", "∼": "～",
}  # fmt: skip
_JOINERS = "\u200c\u200d"
# Greek letters that look Latin and have a LaTeX command are symbols, unless they stand in a word.
_IN_WORDS = dict(zip("αγινρσυ", "ayivpou", strict=True))
_LIGATURES = {chr(c): unicodedata.normalize("NFKC", chr(c)) for c in range(0xFB00, 0xFB07)}


@cache
def _folds() -> dict[str, str]:
    """Each character that has another spelling, with the one that stands for all."""
    compatible = {chr(c): unicodedata.normalize("NFKC", chr(c)) for r in _COMPATIBLE_RANGES for c in range(*r)}
    han = [chr(c) for r in _HAN_RANGES for c in range(*r)]
    simple = "\n".join(han)  # line breaks: no two characters are a word
    for conversion in _TO_SIMPLIFIED:
        simple = OpenCC(conversion).convert(simple)
    simplified = dict(zip(han, simple.split("\n"), strict=True)) | _SAME_IN_WORDS_ONLY
    radicals = {radical: simplified.get(c, c) for radical, c in IDEOGRAPHS.items()}
    lines = Path(__file__).with_name("confusables.tsv").read_text(encoding="utf-8").splitlines()
    alike = {other: letter for letter, _, others in (line.partition("\t") for line in lines) for other in others}
    signs = {other: sign for sign, others in _SIGNS.items() for other in others}
    folds = (
        {c: letter for c, letter in alike.items() if c not in _IN_WORDS} | compatible | simplified | radicals | signs
    )
    return {c: fold for c, fold in folds.items() if len(fold) == 1 and fold != c}


_FUNCTION = r"(?:a?(?:sin|cos|tan)|arc|sec|csc|cot|log|ln|exp|lim|lg|det|max|min|gcd)"
_WORD = rf"(?!{_FUNCTION})\p{{L}}{{3}}|[{_CJK}]"
_TWO_LETTERS = rf"(?!{_FUNCTION})\p{{L}}{{2}}"
_ONE_LETTER = r"(?<![\p{L}\p{M}\p{N}'])\p{L}"
# Punctuation of prose; the same signs in a formula carry meaning and stay.
_PUNCTUATION = "|".join(
    (
        r"[^\p{L}\p{M}\p{N}\p{Sm}\p{Sc}\p{So}^%&'′″!/()\[\]{}*#·:.-]",
        r"(?m)^\s*(?:[-*+·]|\p{So})\s+",  # bullets
        r"(?m)^\s*\(?(?:[a-z]|\p{Nd}{1,2}|[ivx]{1,4})[).](?=\s|[" + _CJK + "])",  # (1), 1), a)
        r"\.(?!\p{Nd})|(?<=[\p{L})\]])\.",  # no decimal point
        r":(?!\p{Nd})|(?<!\p{Nd}):",  # no ratio
        rf"'(?=[\p{{L}}\p{{N}}])|(?<!(?:{_ONE_LETTER}|\))'{{0,2}})'",  # no derivative
        rf"(?<![\p{{N}})!]|{_ONE_LETTER})!(?![\p{{L}}(])",  # neither factorial nor negation
        r"(?<!\p{L})#|[\u00a9\u00ae\u2122\ufffd]|(?<=\p{IsHan})·(?=\p{IsHan})|\(\s*\)|\[\s*\]",
        rf"(?<=[\p{{L}}\p{{N}}])-(?={_WORD})|(?<=[\p{{L}}\p{{N}}]\s)-(?=\s(?:{_WORD}))",  # hyphens and dashes
        rf"(?<=\p{{L}}{{2}})-(?={_TWO_LETTERS})|(?<=\p{{L}}{{2}}\s)-(?=\s{_TWO_LETTERS})",
        rf"(?<=\p{{L}})--(?=\p{{L}})|(?<=\s)--(?=\s)|--(?=[{_CJK}])|(?<=[{_CJK}])--|-{{3,}}",
        r"(?<=[\p{L}\p{N}.,{}])~",
    )
)
# Round brackets around words of a sentence.
_ASIDE = (
    r"(?<![\p{L}\p{N}\p{Sm}^/)\]&&[^" + _CJK + r"]])\(([^()=+*/^<>√∑∫]*(?:\p{L}{3}|[" + _CJK + r"])[^()=+*/^<>√∑∫]*)\)"
    r"(?=\s*(?:[\p{L},.;:?!，。；：？！、]|$))"
)
_THOUSANDS = r"(?<=\p{Nd}),(?=\p{Nd}{3}(?!\p{Nd}))"
_BARE_POINT = r"(?<![\p{L}\p{N}.)\]])\.(?=\p{Nd})"
_CLOSING = r")\]}!%'′″°#"
_SIGN = r"[^\p{L}\p{M}\p{N} .:]"
_INFIX = rf"[^\p{{L}}\p{{M}}\p{{N}} .:{_CLOSING}]"
# Where a unit ends: before a sign that joins, behind one that closes, between a number and a letter, at Greek letters.
_BORDER = "|".join(
    (
        rf"(?<=[\p{{L}}\p{{M}}\p{{N}}{_CLOSING}])(?={_INFIX}++.)",
        rf"(?<=[{_CLOSING}])(?=[\p{{L}}\p{{N}}])",
        r"(?<=\p{Nd})(?=[\p{IsLatin}\p{IsGreek}])",
        r"(?<=\p{IsGreek})(?=[\p{L}\p{N}])|(?<=\p{L})(?=\p{IsGreek})",
    )
)


def _characters(text: Column) -> Column:
    folds = _folds()
    seen = where(text, INVISIBLE, lambda t: F.regexp_replace(t, INVISIBLE, ""))
    whole = where(seen, "[ﬀ-ﬆ]", lambda t: reduce(_replaced, _LIGATURES.items(), t))
    return F.translate(whole, "".join(folds) + _JOINERS, "".join(folds.values()))


def _replaced(text: Column, pair: tuple[str, str]) -> Column:
    return F.regexp_replace(text, *pair)


def _latin_words(text: Column) -> Column:
    """Lower-case text with Latin letters for the Greek ones in a word: a run of letters, three of them Latin, in which no
    name of a function stands beside a Greek one."""
    greek, latin = "".join(_IN_WORDS), "".join(_IN_WORDS.values())

    def latin_word(run: Column) -> Column:
        word = (F.length(F.translate(run, greek, "")) >= 3) & ~run.rlike(rf"{_FUNCTION}[{greek}]|[{greek}]{_FUNCTION}")
        return F.when(run.rlike("[a-z]") & word, F.translate(run, greek, latin)).otherwise(run)

    runs = F.regexp_extract_all(text, F.lit(f"[a-z{greek}]+|[^a-z{greek}]+"), F.lit(0))
    return F.array_join(F.transform(runs, latin_word), "")


def _numbers(text: Column) -> Column:
    """10,000 as 10000 and .5 as 0.5."""
    return F.regexp_replace(F.regexp_replace(text, _THOUSANDS, ""), _BARE_POINT, "0.")


def _without_punctuation(text: Column) -> Column:
    numbers = where(text, rf"{_THOUSANDS}|{_BARE_POINT}", _numbers)
    aside = where(numbers, r"\(", lambda t: F.regexp_replace(t, _ASIDE, " $1 "))
    # Not `(?:...)+`: Java recurses for each repetition of such a group, and a long run would overflow its stack.
    words = F.regexp_replace(F.regexp_replace(aside, _PUNCTUATION, " "), " +", " ")
    return F.trim(F.translate(words, "'", "′"))  # what is left of them are derivatives


def _joined_signs(text: Column) -> Column:
    """Each sign with the word or number it belongs to, whatever spaces stand around it."""
    return F.regexp_replace(F.regexp_replace(text, f" *({_SIGN}) *", "$1"), _BORDER, " ")


def folded(text: Column) -> Column:
    """Text for matching: lower case, half width, simplified ideographs, formulas in one spelling, words between spaces.

    Operators, relations, signs, exponents, decimal points and the brackets of formulas stay, each with the word or
    number it belongs to; punctuation of prose becomes a space.
    """
    characters = where(text, r"[^\x00-\x7f]", _characters)
    formulas = where(characters, MAY_BE_FORMULA, one_spelling)
    words = _without_punctuation(where(F.lower(formulas), f"[{''.join(_IN_WORDS)}]", _latin_words))
    joined = where(words, rf"{_SIGN}|\p{{Nd}}\p{{L}}|\p{{IsGreek}}", _joined_signs)
    return where(joined, f"[{_CJK}]", lambda t: F.regexp_replace(t, f"(?<=[{_CJK}]) | (?=[{_CJK}])", ""))


def cjk_characters(text: Column) -> Column:
    """Number of Chinese and Japanese characters."""
    return F.length(F.regexp_replace(text, rf"[^{_CJK}]+", ""))


def is_cjk(folded: Column) -> Column:
    """Whether Chinese or Japanese dominates: more such characters than spaces between words.

    A share of all characters would count Chinese exercises full of formulas as words.
    """
    return cjk_characters(folded) > F.length(F.regexp_replace(folded, "[^ ]+", ""))


def units(folded: Column) -> Column:
    """array<string>: characters without spaces where Chinese or Japanese dominates, else words; empty for no text."""
    characters = F.split(F.replace(folded, F.lit(" ")), "")
    return F.when(is_cjk(folded), characters).when(folded != "", F.split(folded, " ")).otherwise(F.array())


def grams(folded: Column, words: int, characters: int) -> Column:
    """array<string>: every run of `words` words, or of `characters` characters where Chinese or Japanese dominates.

    Empty where the text is shorter than one run, or null.
    """

    def runs(units: Column, size: int, separator: str) -> Column:
        last = F.size(units) - size + 1
        every = F.transform(F.sequence(F.lit(1), last), lambda i: F.array_join(F.slice(units, i, size), separator))
        return F.when(last > 0, every).otherwise(F.array())

    def of(text: Column) -> Column:
        return let(
            units(text),
            lambda u: F.when(is_cjk(text), runs(u, characters, "")).otherwise(runs(u, words, " ")),
        )

    return let(folded, of)
