"""Do two final answers mean the same? Decided by kind where both are understood as a whole; else null, for a judge."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import pandas as pd

from udfs.answers import equality, values
from udfs.answers.numbers import Unclear
from udfs.answers.spelling import letter, literal, plain, same_words
from udfs.answers.tokens import MAX_CHARACTERS

SCHEMA = "draft_id string, equal array<boolean>, leader array<int>"
__all__ = ["SCHEMA", "compare", "letter", "same"]


@lru_cache(maxsize=4096)
def _readings(text: str) -> tuple[values.Value, ...]:
    try:
        return tuple(values.read(text)) if text and len(text) <= MAX_CHARACTERS else ()
    except Unclear:
        return ()


def same(first: str, second: str, multiple_choice: bool) -> bool | None:
    """True or False where it is certain, None where a judge is needed. Never raises, whatever the strings."""
    if multiple_choice:
        letters = letter(first), letter(second)
        return letters[0] == letters[1] if all(letters) else None
    one, two = plain(first), plain(second)
    if not one or not two:
        return None
    if literal(one) == literal(two) or same_words(one, two):
        return True
    results = [_same(a, b) for a in _readings(one) for b in _readings(two)]
    return next((result for result in results if result is not None), None)


def _same(one: values.Value, two: values.Value) -> bool | None:
    try:
        return equality.same(one, two)
    except Unclear:
        return None


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
