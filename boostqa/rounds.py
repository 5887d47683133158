"""The order in which a line advances: what serves all rounds first, the stages of each round, and the mix of them all."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from boostqa.config import Config
from boostqa.vocabulary import NO_ROUND, ONLY_ROUND, ROUND_STAGES, STAGES, Outcome


class Step(NamedTuple):
    """One stage of one round; of no round where it serves all of them."""

    round: str
    stage: str

    def __str__(self) -> str:
        return of_round(self.round, self.stage)


def of_round(name: str, what: str) -> str:
    """ "round/what", or `what` alone where no round was declared."""
    return what if name in (NO_ROUND, ONLY_ROUND) else f"{name}/{what}"


def steps(config: Config) -> list[Step]:
    """Every step of a conf, in order."""
    first, last = ([Step(NO_ROUND, s) for s in part] for part in (STAGES[: STAGES.index(ROUND_STAGES[0])], STAGES[-1:]))
    return first + [Step(r.name, s) for r in config.rounds for s in ROUND_STAGES] + last


def exported(verdicts: Iterable[Mapping[str, Any]], config: Config) -> list[str]:
    """Of VERDICT rows: the rounds that go into the mix, in order: a gate has judged them, and none blocks."""
    outcomes: dict[str, set[str]] = {}
    for verdict in verdicts:
        outcomes.setdefault(verdict["round"], set()).add(verdict["outcome"])
    return [r.name for r in config.rounds if Outcome.BLOCKS not in outcomes.get(r.name, {Outcome.BLOCKS})]


def wanted_tokens(config: Config, name: str, kept: int) -> int:
    """Kept tokens that a round is to give, where the rounds before it left `kept` of plan.tokens: its `tokens`, or its
    `share` of what is left, or all of that."""
    declared, left = config.round(name), max(config.plan.tokens - kept, 0)
    return min(declared.tokens, left) if declared.tokens else round(left * (declared.share or 1))
