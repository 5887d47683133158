"""Escapes the target tokenizer's control tokens in columns, so that text about a marker does not become one."""

from collections.abc import Iterable

from pyspark.sql import Column
from pyspark.sql import functions as F

from udfs.control_tokens import SEPARATOR, control_tokens

__all__ = ["control_tokens", "escaped", "escaped_each", "unescaped"]  # jobs name no package that a wheel renames


def escaped(text: Column, tokens: Iterable[str]) -> Column:
    """`text` with SEPARATOR behind the first character of every occurrence of one of `tokens`; null stays null.

    Every occurrence, overlapping ones too, is parted, and the result holds none: what holds no separator stood in the
    text before. So a second time changes nothing.
    """
    rests: dict[str, list[str]] = {}
    for token in sorted(tokens):
        rests.setdefault(token[0], []).append(_quoted(token[1:]))
    if not rests:
        return text
    pattern = "|".join(rf"{_quoted(first)}(?=(?:{'|'.join(rest)}))" for first, rest in rests.items())
    return F.regexp_replace(text, pattern, f"$0{SEPARATOR}")


def _quoted(literal: str) -> str:
    """A literal for Java's regular expressions; \\Q and \\E would end at an \\E in it."""
    return "".join(c if c.isalnum() else f"\\x{{{ord(c):x}}}" for c in literal)


def escaped_each(texts: Column, tokens: Iterable[str]) -> Column:
    """An array of texts, each `escaped`; null stays null."""
    tokens = tuple(tokens)
    return F.transform(texts, lambda text: escaped(text, tokens))


def unescaped(text: Column) -> Column:
    """`text` as it was before it was `escaped`."""
    return F.replace(text, F.lit(SEPARATOR), F.lit(""))
