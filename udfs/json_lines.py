"""JSON Lines as text for Spark, whose parser would round decimals: each number with a fraction or an exponent becomes
a string of its own digits, NaN and Infinity become null."""

import re

import pandas as pd

# A string is one token, so that nothing inside it is taken for a number.
_TOKEN = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*"'
    r"|(?P<nonfinite>NaN|[-+]?Infinity|[-+]INF)"
    r"|(?P<number>-?(?:0|[1-9]\d*)(?P<inexact>\.\d+(?:[eE][-+]?\d+)?|[eE][-+]?\d+)?)",
    re.DOTALL,
)
MAY_CHANGE = r"[:\[,]\s*[-+]?(?:\d+[.eE]|NaN|Inf|INF)"  # what a line has that `exact` changes (Java's syntax too)


def _exact(token: re.Match[str]) -> str:
    if token["nonfinite"]:
        return "null"
    return f'"{token[0]}"' if token["inexact"] else token[0]


def exact(lines: pd.Series) -> pd.Series:
    """Each line with its decimals as strings and without NaN and Infinity; null stays null."""
    return lines.map(lambda line: None if line is None else _TOKEN.sub(_exact, line))
