"""Tokens of a mix, by component and cell: what is asked for, what is there, what is taken. Plain Python over some hundred
parts; documents are chosen from them in stages/mix.py."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from boostqa.allocation import Bounds, fill, whole
from boostqa.config import Component, Mix

NO_CELL = ""  # of documents that nobody has labelled


class Part(NamedTuple):
    """A cell of a component. Its documents are taken `passes` times, and those of `rest` tokens once more."""

    component: str
    cell: str  # discipline/difficulty, or NO_CELL
    asked: int  # tokens, as the conf and the budget share them out
    there: int  # tokens of its documents, each once
    taken: int  # tokens, as far as there are enough, and what others leave over

    @property
    def passes(self) -> int:
        """How often all its documents are taken."""
        return self.taken // self.there if self.there else 0

    @property
    def rest(self) -> int:
        """Tokens of those that are taken once more."""
        return self.taken - self.passes * self.there


def blend(conf: Mix, budget: Mapping[str, int], there: Mapping[tuple[str, str], int]) -> list[Part]:
    """Tokens budgeted by cell, and tokens that are there by (component, cell) -> the parts, in order of component and cell.

    `conf.tokens` go to the components, to the cells of each by its part of the budget (of seeds: of what there is). What one
    has too few tokens for goes to others: new documents come before repeats of others of their component, repeats of a
    component before more of the other components.
    """
    supply: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (name, cell), tokens in sorted(there.items()):
        supply[name][cell] = tokens
    components = {c.name: c for c in conf.components}
    most = {name: sum(supply[name].values()) * (c.passes or conf.passes) for name, c in components.items()}
    asked = _shares(conf.tokens, {name: (c.tokens, Fraction(c.weight or 1)) for name, c in components.items()})
    bounds = {name: Bounds(Fraction(asked[name]), 0, most[name]) for name in components}
    taken = fill(bounds, min(conf.tokens, sum(most.values())))
    return [
        part
        for name, component in components.items()
        for part in _cells(component, asked[name], taken[name], budget, supply[name], component.passes or conf.passes)
    ]


def _cells(
    component: Component, asked: int, taken: int, budget: Mapping[str, int], supply: dict[str, int], passes: int
) -> list[Part]:
    natural: Mapping[str, int] = budget if component.of == "synthesized" and any(budget.values()) else supply
    natural = natural or {NO_CELL: 1}  # so that what is short is told
    cells = sorted({*natural, *supply, *component.cells})
    targets = {cell: component.cells.get(cell) for cell in cells}
    shares = _shares(
        asked,
        {
            cell: (t.tokens if t else None, natural.get(cell, 0) * Fraction((t and t.weight) or 1))
            for cell, t in targets.items()
        },
    )
    new = sum(supply.values())
    floors, often = (supply, passes) if taken > new else ({}, 1)
    bounds = {cell: Bounds(Fraction(shares[cell]), floors.get(cell, 0), supply.get(cell, 0) * often) for cell in cells}
    found = fill(bounds, taken)
    return [Part(component.name, cell, shares[cell], supply.get(cell, 0), found[cell]) for cell in cells]


def _shares(tokens: int, targets: Mapping[str, tuple[int | None, Fraction]]) -> dict[str, int]:
    """Name -> tokens: those that it asks for, and of what is left a part by its weight; in proportion where there are too few."""
    fixed = {name: Fraction(t) for name, (t, _) in targets.items() if t}
    weights = {name: weight for name, (t, weight) in targets.items() if not t}
    scale = min(Fraction(1), Fraction(tokens) / sum(fixed.values())) if fixed else Fraction(1)
    parts = {name: t * scale for name, t in fixed.items()}
    left, all_weights = tokens - sum(parts.values(), Fraction(0)), sum(weights.values(), Fraction(0))
    parts |= {name: left * weight / all_weights if all_weights else Fraction(0) for name, weight in weights.items()}
    return whole(parts)


def one_more(missing: int, documents: Mapping[str, int]) -> set[str]:
    """Tokens that are missing, and rank -> tokens of the documents that did not fit into their part, one of each -> the ranks of
    those that fit into the total, in their order: what is missing then is less than any of the others has."""
    found = set()
    for rank, tokens in sorted(documents.items()):
        if tokens <= missing:
            found.add(rank)
            missing -= tokens
    return found


def summary(parts: Iterable[Part]) -> dict[str, Any]:
    """Component -> its tokens asked for, there (each document once) and taken, and by cell what is short of those asked for."""
    found: dict[str, Any] = {}
    for part in parts:
        of = found.setdefault(part.component, {"asked": 0, "there": 0, "taken": 0, "short": {}})
        for name in ("asked", "there", "taken"):
            of[name] += getattr(part, name)
        if part.taken < part.asked:
            of["short"][part.cell] = part.asked - part.taken
    return found
