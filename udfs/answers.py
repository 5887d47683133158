"""Do two final answers mean the same? Exact, numeric, then symbolic; null where none of them can tell."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

import pandas as pd

# One number with at most a unit behind it: thousands separators, decimals, an exponent; letters, degree and per-cent
# signs.
_QUANTITY = re.compile(
    r"(?P<number>[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?)"
    r"\s*(?P<unit>(?:[°%]|[°%]?[A-Za-zµμΩÅ]+(?:\^?-?\d)?(?:[ /·*][A-Za-zµμΩ]+(?:\^?-?\d)?)*)?)"
)
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
RELATIVE_TOLERANCE = 1e-4
SCHEMA = "draft_id string, equal array<boolean>, leader array<int>"


def plain(answer: str) -> str:
    """Folded for comparison: half-width, without dollar signs, repeated spaces and punctuation at the end; case stays,
    it tells MW from mW, and so do superscripts."""
    text = unicodedata.normalize("NFC", answer).translate(_FULL_WIDTH).replace("$", " ")
    return " ".join(text.split()).strip().rstrip(".,;:。，；： ")


def _quantity(text: str) -> tuple[float, str] | None:
    """(value, unit) when the answer is one number with at most a unit behind it."""
    found = _QUANTITY.fullmatch(text)
    if found is None or not any(c.isdigit() for c in found["number"]):
        return None
    return float(found["number"].replace(",", "")), found["unit"]


def _symbolic(first: str, second: str) -> bool | None:
    """math-verify on LaTeX and expressions, each step cut off after its 5 s default; None unless they are equal: a
    failed proof of equality is not a proof of difference."""
    from math_verify import parse, verify

    sides = [parse(text if "$" in text else f"${text}$", raise_on_error=False) for text in (first, second)]
    if not all(sides):
        return None
    return True if verify(*sides, raise_on_error=False) else None


def same(first: str, second: str, multiple_choice: bool) -> bool | None:
    """True or False where it is certain, None where a judge is needed."""
    one, two = plain(first), plain(second)
    if multiple_choice:
        return one[:1].upper() == two[:1].upper()
    if one.casefold() == two.casefold() and (one == two or not _quantity(one)):
        return True
    first_quantity, second_quantity = _quantity(one), _quantity(two)
    if first_quantity and second_quantity:
        (a, unit_a), (b, unit_b) = first_quantity, second_quantity
        # Other units (1 km and 1000 m), or one without: they may or may not mean the same.
        return abs(a - b) <= RELATIVE_TOLERANCE * max(abs(a), abs(b)) if unit_a == unit_b else None
    short = max(len(one), len(two)) <= 200
    return _symbolic(one, two) if short and re.search(r"[\d\\^=+*/]", one + two) else None


def compare(rows: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """[draft_id, answer, blind (answers by sample index), multiple_choice] -> SCHEMA.

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
