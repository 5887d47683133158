"""Do two final answers mean the same? Exact, numeric, then symbolic; null where none of them can tell."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

import pandas as pd

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+")
RELATIVE_TOLERANCE = 1e-4


def plain(answer: str) -> str:
    """Folded for comparison: NFKC, lower case, no outer punctuation, dollar signs or repeated spaces."""
    text = unicodedata.normalize("NFKC", answer).casefold().replace("$", " ")
    return " ".join(text.split()).strip(" .,;:。，；：")


def _number(text: str) -> tuple[float, str] | None:
    """(value, unit) when the answer is one number with at most a unit behind it."""
    found = _NUMBER.match(text)
    if found is None:
        return None
    unit = text[found.end() :].strip()
    if _NUMBER.search(unit.replace("^2", "").replace("^3", "")) or len(unit) > 20:
        return None
    return float(found[0].replace(",", "")), unit


def _symbolic(first: str, second: str) -> bool | None:
    """math-verify on LaTeX and expressions, each step cut off after its 5 s default; None unless they are equal: a failed
    proof of equality is not a proof of difference."""
    from math_verify import parse, verify

    sides = [parse(text if "$" in text else f"${text}$", raise_on_error=False) for text in (first, second)]
    if not all(sides):
        return None
    return True if verify(*sides, raise_on_error=False) else None


def same(first: str, second: str, multiple_choice: bool) -> bool | None:
    """True or False where it is certain, None where a judge is needed."""
    if multiple_choice:
        return plain(first)[:1] == plain(second)[:1]
    one, two = plain(first), plain(second)
    if one == two:
        return True
    numbers = _number(one), _number(two)
    if numbers[0] and numbers[1]:
        (a, unit_a), (b, unit_b) = numbers[0], numbers[1]
        close = abs(a - b) <= RELATIVE_TOLERANCE * max(abs(a), abs(b))
        if unit_a == unit_b or not unit_a or not unit_b:
            return close
        return None  # other units: 1 km and 1000 m
    short = max(len(first), len(second)) <= 200
    return _symbolic(first, second) if short and re.search(r"[\d\\^=+*/]", first + second) else None


def compare(rows: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """[draft_id, answer, blind (answers by sample index), multiple_choice] -> [draft_id, equal, leader].

    `equal[i]`: blind answer i against the draft's answer; `leader[i]`: the first blind answer that means the same as i.
    """
    for batch in rows:
        out = []
        columns = (batch[name] for name in ("draft_id", "answer", "blind", "multiple_choice"))
        for draft_id, answer, blind, multiple_choice in zip(*columns, strict=True):
            equal = [same(answer, other, multiple_choice) for other in blind]
            leader = [
                next((j for j in range(i) if same(blind[j], other, multiple_choice)), i)
                for i, other in enumerate(blind)
            ]
            out.append((draft_id, equal, leader))
        yield pd.DataFrame(out, columns=["draft_id", "equal", "leader"])
