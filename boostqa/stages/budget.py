"""cells, probe -> budget. Grain: one cell. Key: (discipline, difficulty).

How many kept tokens each cell is to give, and why: every factor has its own column. What it does not know: which
requests these become (plan), and whether a question of the cell will survive the line.

Not a DataFrame but rows: a plan has a few hundred cells, whose tokens have to sum to the token.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import groupby
from math import ceil, floor, sqrt
from statistics import fmean
from typing import Any

from boostqa.allocation import Bounds, fill, highest_floor, whole
from boostqa.config import Plan
from boostqa.errors import ConfigError
from boostqa.shrinkage import Estimate, estimates
from boostqa.vocabulary import HIGH_GRADES, STEM_BROAD_FIELDS

Row = dict[str, Any]
MOST_LEARNABLE = 2.0  # a slope is a noisy figure; twice the mean is enough to follow it
_DIGITS = 12  # of a weight: the last bits of a double depend on the order of a sum
_SIDES = {True: f"at {' and '.join(HIGH_GRADES)}", False: f"below {HIGH_GRADES[0]}"}


def of_checkpoint(probe: Iterable[Mapping[str, Any]], checkpoint: str) -> list[Mapping[str, Any]]:
    """PROBE rows -> those of `checkpoint` that have an accuracy; none where nothing was probed at all. Raises ConfigError
    where others were probed and not this one, or by bits per byte alone: what it lacks is not known."""
    probe = list(probe)
    own = [row for row in probe if row["checkpoint"] == checkpoint]
    if probe and not own:
        others = ", ".join(sorted({row["checkpoint"] for row in probe}))
        raise ConfigError(
            f"probe.checkpoints: {checkpoint} has not been probed, what it lacks is not known; table probe holds {others}\n"
            "  fix: run job probe (boostqa run does), or name one of these"
        )
    rated = [row for row in own if row["accuracy"] is not None]
    if own and not rated:
        raise ConfigError("probe.methods: bits per byte alone show no deficit; add letter or cloze")
    return rated


def budget(
    cells: Iterable[Mapping[str, Any]],
    probe: Iterable[Mapping[str, Any]],
    conf: Plan,
    tokens: int | None = None,
) -> list[Row]:
    """Cells [discipline, difficulty, seeds, bearing_seeds, questions, kept_per_request] (and what `with_novelty` adds) and
    the PROBE rows of one checkpoint -> BUDGET rows.

    weight = deficit x learnability x stem_factor x supply_factor (`_learnability`). Tokens fill the cells of each side of
    high difficulty up to the side's part of `tokens`, the round's (default: all of `conf.tokens`), exactly
    (allocation.fill), between floor and capacity (questions that the cell's seeds bear x kept_per_request,
    the mean of what such requests left in earlier rounds). A side that no seed bears leaves its part to the other.
    Raises ConfigError where floors or capacities do not let the sums come out, with the figure that would; with
    `conf.when_short` lower what the seeds bear is enough.
    """
    tokens = conf.tokens if tokens is None else tokens
    cells = sorted(cells, key=lambda c: (c["discipline"], c["difficulty"]))
    all_seeds = sum({c["discipline"]: c["seeds"] for c in cells}.values())
    rows = [_factors(c, all_seeds, conf) for c in cells]
    probe = list(probe)
    for row, lack, promise in zip(rows, _deficits(cells, probe), _learnability(cells, probe, conf), strict=True):
        row |= lack | promise
    for high, side, of_side in _sides(rows, conf, tokens):
        _check(side, of_side, high, conf, tokens)
        weights = {r["discipline"] + r["difficulty"]: _weight(r) for r in side}
        bounds = {name: Bounds(weights[name], r["floor"], r["capacity"]) for name, r in zip(weights, side, strict=True)}
        filled, total = fill(bounds, of_side), sum(weights.values())
        requests = whole(
            {name: filled[name] / _exact(row["kept_per_request"]) for name, row in zip(filled, side, strict=True)}
        )
        for (name, weight), row in zip(weights.items(), side, strict=True):
            row |= {"weight": float(weight / total) if total else 0.0, "round_tokens": tokens, "side_tokens": of_side}
            row |= {"tokens": filled[name], "requests": requests[name], "bound": _bound(row, filled[name])}
            del row["exhausted"]
    return rows


def with_novelty(
    cells: Iterable[Mapping[str, Any]], asked: Iterable[Mapping[str, Any]], least: float
) -> list[dict[str, Any]]:
    """Cells with `novelty` and `exhausted`, by what earlier rounds found.

    `asked` [discipline, difficulty, novelty, novelty_high, seeds (of the discipline at the time)] in the order of the rounds:
    the last time counts. A cell is exhausted where not even the upper end of the interval reaches `least`, and its
    discipline has no seed more than then.
    """
    last = {(row["discipline"], row["difficulty"]): row for row in asked if row["novelty"] is not None}
    found = []
    for cell in cells:
        then = last.get((cell["discipline"], cell["difficulty"]))
        spent = then is not None and then["novelty_high"] < least and cell["seeds"] <= then["seeds"]
        found.append(dict(cell) | {"novelty": then["novelty"] if then else None, "exhausted": spent})
    return found


def _factors(cell: Mapping[str, Any], all_seeds: int, conf: Plan) -> Row:
    row: Row = {"novelty": None, "exhausted": False} | dict(cell)
    kept = row["kept_per_request"] or float(conf.kept_tokens_per_request)
    capacity = 0 if row["exhausted"] else floor(row["questions"] * _exact(kept))
    return row | {
        "kept_per_request": kept,
        "stem_factor": conf.stem_boost if row["discipline"].startswith(STEM_BROAD_FIELDS) else 1.0,
        "supply_factor": sqrt(row["seeds"] / all_seeds),
        "floor": min(conf.floor_tokens, capacity),
        "capacity": capacity,
    }


def _exact(value: float) -> Fraction:
    return Fraction(round(value, _DIGITS))


def _deficits(cells: Sequence[Mapping[str, Any]], probe: Sequence[Mapping[str, Any]]) -> list[Row]:
    """deficit = 1 - (accuracy - chance) / (1 - chance), clipped to 0..1, the mean over the probe's methods of the cell's
    shrunk accuracy (shrinkage.py); 1 where nothing was probed."""
    wanted = [(c["discipline"], c["difficulty"]) for c in cells]
    found: list[tuple[dict[tuple[str, str], Estimate], dict[tuple[str, str], float], float]] = []
    for _, group in groupby(sorted(probe, key=lambda r: r["method"]), key=lambda r: r["method"]):
        scored = [r for r in group if r["correct"] is not None]
        if not scored:
            continue
        by_cell = {(r["discipline"], r["difficulty"]): r for r in scored}
        items = sum(r["items"] for r in scored)
        usual = sum(r["chance"] * r["items"] for r in scored) / items
        counts = {cell: (float(r["correct"]), int(r["items"])) for cell, r in by_cell.items()}
        found.append((estimates(counts, wanted), {cell: r["chance"] for cell, r in by_cell.items()}, usual))
    return [_deficit([(e[cell], chances.get(cell, usual)) for e, chances, usual in found]) for cell in wanted]


def _deficit(methods: list[tuple[Estimate, float]]) -> Row:
    if not methods:
        nothing = {"accuracy": None, "chance": None, "shrunk_to": None}
        return {"probe_items": 0, "shrink_weight": 1.0, "deficit": 1.0} | nothing

    def mean(values: Iterable[float]) -> float:
        return round(sum(values) / len(methods), _DIGITS)

    return {
        "probe_items": max(e.items for e, _ in methods),
        "accuracy": mean(e.share for e, _ in methods),
        "chance": mean(chance for _, chance in methods),
        "shrink_weight": mean(e.weight for e, _ in methods),
        "shrunk_to": methods[0][0].level,
        "deficit": mean(min(1.0, max(0.0, 1 - (e.share - chance) / (1 - chance))) for e, chance in methods),
    }


def _learnability(cells: Sequence[Mapping[str, Any]], probe: Sequence[Mapping[str, Any]], conf: Plan) -> list[Row]:
    """What training promises in each cell, by the slope of its accuracy over the checkpoints and the slope's interval
    (means of the methods).

    rising (the interval lies above 0): slope / mean slope of the rising cells, at most MOST_LEARNABLE and at least
    `conf.exploration`. flat (0 lies in it): `conf.exploration`, so that it is tried, and the next checkpoints tell. falling:
    1, it is being forgotten. 1, too, without a series of checkpoints.
    """
    slopes: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for row in probe:
        if row["slope"] is not None:
            ends = (row["slope_low"], row["slope"], row["slope_high"])
            slopes.setdefault((row["discipline"], row["difficulty"]), []).append(ends)
    means = {cell: tuple(map(fmean, zip(*found, strict=True))) for cell, found in slopes.items()}
    rising = [slope for low, slope, _ in means.values() if low > 0]
    rows: list[Row] = []
    for cell in cells:
        if (found := means.get((cell["discipline"], cell["difficulty"]))) is None:
            rows.append({"slope": None, "trend": None, "learnability": 1.0})
            continue
        low, slope, high = found
        trend, factor = ("falling", 1.0) if high < 0 else ("flat", conf.exploration)
        if low > 0:
            trend, factor = "rising", min(MOST_LEARNABLE, max(conf.exploration, slope / fmean(rising)))
        rows.append({"slope": slope, "trend": trend, "learnability": round(factor, _DIGITS)})
    return rows


def _weight(row: Row) -> Fraction:
    factors = row["deficit"] * row["learnability"] * row["stem_factor"] * row["supply_factor"]
    return _exact(factors)


def _bound(row: Row, tokens: int) -> str | None:
    if row["exhausted"]:
        return "novelty"
    if tokens == row["capacity"]:
        return "capacity"
    return "floor" if tokens == row["floor"] else None


def _sides(rows: list[Row], conf: Plan, wanted: int) -> list[tuple[bool, list[Row], int]]:
    """(high difficulty or not, its rows, its tokens) of each side with rows."""
    high = round(wanted * conf.high_difficulty_share)
    tokens = {True: high, False: wanted - high}
    sides = {side: [r for r in rows if (r["difficulty"] in HIGH_GRADES) == side] for side in tokens}
    room = {side: sum(r["capacity"] for r in of_side) for side, of_side in sides.items()}
    empty = [side for side in room if not room[side] and room[not side]]
    if empty:
        tokens = {empty[0]: 0, not empty[0]: wanted}
    if conf.when_short == "lower":
        tokens = {side: min(tokens[side], room[side]) for side in tokens}
    return [(side, of_side, tokens[side]) for side, of_side in sides.items() if of_side]


def _check(side: list[Row], tokens: int, high: bool, conf: Plan, wanted: int) -> None:
    """Raise ConfigError where the side's floors are above, or its capacities below, its tokens."""
    floors, room, where = sum(r["floor"] for r in side), sum(r["capacity"] for r in side), _SIDES[high]
    part, key = Fraction(tokens, wanted), "plan.tokens" if wanted == conf.tokens else "the round's tokens"
    if floors > tokens:
        fits = highest_floor((r["capacity"] for r in side), tokens)
        enough = f" or {key} to at least {ceil(floors / part)}" if part else ""
        raise ConfigError(
            f"plan.floor_tokens: {conf.floor_tokens} in the {len(side)} cells {where} are {floors} tokens, and {key} "
            f"{wanted} gives these cells {tokens}\n  fix: set plan.floor_tokens to at most {fits}{enough}"
        )
    if room < tokens:
        questions = sum(r["questions"] for r in side)
        each = room / questions if questions else 0
        raise ConfigError(
            f"{key}: {wanted} gives the cells {where} {tokens} tokens, and their seeds bear {questions} questions, "
            f"{room} tokens at {each:.3g} kept tokens per request\n  fix: set {key} to at most "
            f"{int(room / part)}, add seeds, raise plan.max_requests_per_seed ({conf.max_requests_per_seed}), change "
            "plan.high_difficulty_share, or set plan.when_short: lower to take what the seeds bear"
        )
