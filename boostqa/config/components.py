"""What a mix is made of."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from boostqa.config.base import Positive, Section
from boostqa.config.source import Source
from boostqa.vocabulary import Strategy

Cell = Annotated[str, StringConstraints(pattern=r"^\d{4}/H[1-5]$")]
Weight = Annotated[float, Field(gt=0, strict=True)]


class Target(Section):
    """How much of something: `tokens`, or by `weight` a part of what those with tokens leave over."""

    weight: Weight | None = None
    tokens: Positive | None = None


class Component(Target):
    """A part of the mix: items that were synthesized (of some strategies, rounds or length of reasoning), each in the first
    component that takes it, the annotated seeds that are questions with answers, or the documents of another corpus, `source`
    (kind document; its `fields` map `text`, or `token_ids` of the target tokenizer).

    Without weight or tokens its weight is 1. `cells` (as 0533/H4) have tokens of their own, or a weight by which their share
    is multiplied: their part of the budget, of seeds of what there is.
    """

    name: str
    of: Literal["synthesized", "seeds", "corpus"] = "synthesized"
    source: Source | None = None
    strategies: list[Strategy] = []  # all where none is named
    rounds: list[str] = []
    reasoning: Literal["short", "long"] | None = None
    passes: Positive | None = None  # mix.passes where it has none
    cells: dict[Cell, Target] = {}
