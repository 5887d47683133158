"""The one normalisation for matching texts: folded, cut into units (words or characters), and runs of units.

Deduplication, decontamination and the repetition rule all match what this module makes of a text.
"""

from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F

from udfs.text import IDEOGRAPHS

_CJK = r"\p{IsHan}\p{IsHiragana}\p{IsKatakana}"
# Full-width ASCII (U+FF01 to U+FF5E), the ideographic space, and radicals in text that no reader has normalised.
_FOLDS = {chr(c + 0xFEE0): chr(c) for c in range(0x21, 0x7F)} | {"\u3000": " "} | IDEOGRAPHS


def folded(text: Column) -> Column:
    """Text for matching: lower case, half width, unified ideographs; one space for what is no letter, mark or digit."""
    narrow = F.translate(text, "".join(_FOLDS), "".join(_FOLDS.values()))
    narrow = F.when(text.rlike(r"[\u2e80-\u2fdf\u3000\uff01-\uff5e]"), narrow).otherwise(text)  # translate is slow
    return F.trim(F.regexp_replace(F.lower(narrow), r"[^\p{L}\p{M}\p{N}]+", " "))


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


def _let(value: Column, use: Callable[[Column], Column]) -> Column:
    """`use(value)` with `value` computed once: Spark computes a column again wherever a lambda mentions it."""
    return F.transform(F.array(value), use)[0]


def grams(folded: Column, words: int, characters: int) -> Column:
    """array<string>: every run of `words` words, or of `characters` characters where Chinese or Japanese dominates.

    Empty where the text is shorter than one run, or null.
    """

    def runs(units: Column, size: int, separator: str) -> Column:
        last = F.size(units) - size + 1
        every = F.transform(F.sequence(F.lit(1), last), lambda i: F.array_join(F.slice(units, i, size), separator))
        return F.when(last > 0, every).otherwise(F.array())

    def of(text: Column) -> Column:
        return _let(
            units(text),
            lambda u: F.when(is_cjk(text), runs(u, characters, "")).otherwise(runs(u, words, " ")),
        )

    return _let(folded, of)
