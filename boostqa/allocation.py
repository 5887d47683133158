"""Whole tokens and whole requests for cells: sums come out exactly, and the same figures give the same shares.

Plain Python over a few hundred cells, with fractions: a sum of doubles depends on the order of its terms, and its last
bit could move a request that was paid for.
"""

import heapq
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

_HALVINGS = 60  # of the range of the water level; what is left to hand out after them is at most a few tokens


class Bounds(NamedTuple):
    """What a cell may get, in whole tokens: `floor` <= tokens <= `capacity`, in proportion to `weight` between them."""

    weight: Fraction
    floor: int
    capacity: int


def fill(cells: Mapping[str, Bounds], total: int) -> dict[str, int]:
    """Water filling: tokens by cell that sum to `total`, each min(capacity, max(floor, level x weight)) rounded, for one
    level of all cells. What a full cell cannot take rises in the others; a cell without weight gets more than its floor
    only when all others are full, then in proportion to its room.

    Rounding is Webster's (a divisor method: a cell whose weight grows never gets less; Balinski and Young 1982), ties by
    name. Raises ValueError unless the floors sum to at most, and the capacities to at least, `total`.
    """
    least, most = sum(c.floor for c in cells.values()), sum(c.capacity for c in cells.values())
    if not least <= total <= most:
        raise ValueError(f"{total} tokens do not fit between the floors {least} and the capacities {most}")
    weighted = {name: c for name, c in cells.items() if c.weight > 0}
    others = {name: c for name, c in cells.items() if c.weight <= 0}
    room = total - sum(c.floor for c in others.values())
    full = min(room, sum(c.capacity for c in weighted.values()))
    by_room = {name: c._replace(weight=Fraction(c.capacity)) for name, c in others.items()}
    return _level(weighted, full) | _level(by_room, total - full)


def _level(cells: Mapping[str, Bounds], total: int) -> dict[str, int]:
    def at(level: Fraction) -> dict[str, int]:
        return {
            name: max(c.floor, min(c.capacity, floor(level * c.weight + Fraction(1, 2)))) for name, c in cells.items()
        }

    low = Fraction(0)
    high = max((Fraction(c.capacity + 1) / c.weight for c in cells.values() if c.weight), default=low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(at(middle).values()) <= total else (low, middle)
    tokens = at(low)

    def next_step(name: str) -> tuple[Fraction, str]:
        return (tokens[name] + Fraction(1, 2)) / cells[name].weight, name

    rising = [next_step(name) for name, c in cells.items() if tokens[name] < c.capacity]
    heapq.heapify(rising)
    for _ in range(total - sum(tokens.values())):
        _, name = heapq.heappop(rising)
        tokens[name] += 1
        if tokens[name] < cells[name].capacity:
            heapq.heappush(rising, next_step(name))
    return tokens


def whole(parts: Mapping[str, Fraction]) -> dict[str, int]:
    """Each part rounded down or up, so that they sum to the sum rounded up (largest remainders, ties by name)."""
    down = {name: floor(part) for name, part in parts.items()}
    missing = ceil(sum(parts.values(), Fraction(0))) - sum(down.values())
    by_remainder = sorted(parts, key=lambda name: (down[name] - parts[name], name))
    return down | {name: down[name] + 1 for name in by_remainder[:missing]}


def highest_floor(capacities: Iterable[int], total: int) -> int:
    """The highest floor that cells of these capacities can all be given, or their capacity, out of `total` tokens."""
    low, high = 0, total
    caps = list(capacities)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(min(middle, c) for c in caps) <= total else (low, middle - 1)
    return low
