"""What a number of kept tokens will cost, from what the rounds made so far have cost: plain sums, with an 80% interval.

A total is forecast as a ratio, S / T per kept token, of sums over the requests measured. Its relative variance is taken as
that of two compound Poisson sums, sum(s^2) / S^2 + sum(t^2) / T^2 (kept tokens summed by seed, whose requests succeed or fail
together; that S and T also rise together is left out, which widens the interval), and what is forecast varies by as much
again, less where it is larger. The interval is log-normal.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import exp, sqrt
from typing import NamedTuple

Z = 1.2815515655446004  # of a normal distribution: 80% lie within


class Total(NamedTuple):
    """A sum over what was measured, and the sum of the squares."""

    sum: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Total") -> "Total":  # type: ignore[override]
        return Total(self.sum + other.sum, self.squares + other.squares)

    @property
    def variance(self) -> float:
        """Relative variance of the sum."""
        return self.squares / self.sum**2 if self.sum else 0.0


class Cost(NamedTuple):
    """What a stage asked of a model. `per`: request (of the plan), seed, or round (probe and controls)."""

    stage: str
    model: str
    per: str
    requests: Total
    prompt_tokens: Total  # those from the prefix cache not among them
    generated_tokens: Total


class Measured(NamedTuple):
    """What one or more rounds took and gave."""

    rounds: int
    requests: int  # of the plan
    seeds: int  # annotated
    questions: int  # that these seeds bore in all
    kept: Total  # tokens, squares by seed
    costs: tuple[Cost, ...]


class Interval(NamedTuple):
    """A forecast with the ends of its 80% interval."""

    low: float
    middle: float
    high: float


class Forecast(NamedTuple):
    """What a stage will ask of a model."""

    stage: str
    model: str
    requests: Interval
    prompt_tokens: Interval
    generated_tokens: Interval


def together(rounds: Sequence[Measured]) -> Measured:
    """The sums of rounds; seeds and what they bore are those of the round that knew most of them."""
    costs: dict[tuple[str, str, str], Cost] = {}
    for cost in (c for r in rounds for c in r.costs):
        known = costs.get(cost[:3])
        if known is None:
            costs[cost[:3]] = cost
        elif cost.per != "seed":  # the labels of seeds serve all rounds
            costs[cost[:3]] = Cost(*cost[:3], *(a + b for a, b in zip(known[3:], cost[3:], strict=True)))
    most = max(rounds, key=lambda r: r.seeds)
    kept = sum((r.kept for r in rounds), Total())
    requests = sum(r.requests for r in rounds)
    return Measured(sum(r.rounds for r in rounds), requests, most.seeds, most.questions, kept, tuple(costs.values()))


def requests_for(measured: Measured, tokens: float) -> Interval:
    """Requests of the plan that leave so many tokens in the mix."""
    return _interval(measured.requests * tokens / measured.kept.sum, measured.kept.variance, measured, tokens)


def forecast(measured: Measured, tokens: float) -> list[Forecast]:
    """What each stage asks of each model for `tokens` kept tokens, made in one more round. Raises ValueError where nothing
    measured was kept: no number of requests is known to be enough."""
    if not measured.kept.sum:
        raise ValueError("nothing was kept")
    scale = tokens / measured.kept.sum
    wanted = measured.requests * scale
    more_seeds = max(0.0, wanted / measured.questions - 1) if measured.questions else 0.0  # of each that there is
    scales = {"request": scale, "seed": more_seeds, "round": 1 / measured.rounds}
    found: defaultdict[tuple[str, str], list[list[Interval]]] = defaultdict(list)
    for cost in measured.costs:
        variance = measured.kept.variance if cost.per != "round" else 0.0
        parts = [_interval(t.sum * scales[cost.per], t.variance + variance, measured, tokens) for t in cost[3:]]
        found[cost[:2]].append(parts)
    return [Forecast(*key, *map(total, zip(*parts, strict=True))) for key, parts in sorted(found.items())]


def _interval(middle: float, variance: float, measured: Measured, tokens: float) -> Interval:
    spread = Z * sqrt(variance * (1 + measured.kept.sum / tokens))
    return Interval(middle * exp(-spread), middle, middle * exp(spread))


def gpu_hours(part: Forecast, prompt_rate: float, generated_rate: float, gpus: int) -> Interval:
    """GPU-hours where an engine on `gpus` reads and writes so many tokens a second."""
    ends = zip(part.prompt_tokens, part.generated_tokens, strict=True)
    return Interval(*((p / prompt_rate + g / generated_rate) * gpus / 3600 for p, g in ends))


def total(intervals: Iterable[Interval]) -> Interval:
    """Ends added to ends: the parts err together."""
    return Interval(*(sum(ends) for ends in zip(*intervals, strict=True)))
