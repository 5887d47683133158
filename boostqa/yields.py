"""What a request leaves in the mix, by its kind: from the rounds made so far, few of a kind drawn towards its parent.

Bühlmann's credibility (H. Bühlmann 1967, ASTIN Bulletin 4:199-207; nonparametric estimators of Bühlmann and Straub
1970): a kind with n requests counts n / (n + K) by itself, K = variance within kinds / variance between them. The kinds are
a tree: strategy, then format, grade and language within it; each level is drawn to the one above.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, NamedTuple

LEVELS = ("strategy", "format", "grade", "lang")
Kind = tuple[str, ...]  # values of the first of LEVELS; () is all requests


class Sums(NamedTuple):
    """Of the requests of a kind: how many, their kept tokens, and the squares of these."""

    requests: int
    tokens: float
    squares: float

    @property
    def mean(self) -> float:
        """Kept tokens per request."""
        return self.tokens / self.requests


def estimates(measured: Iterable[Mapping[str, Any]], guess: float) -> dict[Kind, float]:
    """[*LEVELS, requests, tokens, squares], unique by LEVELS -> kept tokens per request of every kind that was measured, the
    root () among them, all above 0.

    The root is worth one request more, which left `guess` (the conf's figure). Where nothing was measured, or of all that
    was nothing kept, the root is `guess` and there is no other kind: then something is wrong, and it is not the number of
    requests that would mend it.
    """
    sums: defaultdict[Kind, Sums] = defaultdict(lambda: Sums(0, 0.0, 0.0))
    for row in measured:
        leaf = tuple(row[name] for name in LEVELS)
        own = (row["requests"], float(row["tokens"]), float(row["squares"]))
        for depth in range(len(LEVELS) + 1):
            sums[leaf[:depth]] = Sums(*(a + b for a, b in zip(sums[leaf[:depth]], own, strict=True)))
    everything = sums[()]
    if not everything.tokens:
        return {(): guess}
    found: dict[Kind, float] = {(): (everything.tokens + guess) / (everything.requests + 1)}
    for depth in range(1, len(LEVELS) + 1):
        kinds = {kind: s for kind, s in sums.items() if len(kind) == depth}
        worth = _worth(kinds)
        for kind, s in kinds.items():
            weight = s.requests / (s.requests + worth)
            found[kind] = weight * s.mean + (1 - weight) * found[kind[:-1]]
    return found


def _worth(kinds: Mapping[Kind, Sums]) -> float:
    """K: how many requests the parent's mean is worth; infinite where the kinds of one parent differ by no more than
    chance makes them."""
    parents: defaultdict[Kind, list[Sums]] = defaultdict(list)
    for kind, s in kinds.items():
        parents[kind[:-1]].append(s)
    spare = sum(s.requests - 1 for s in kinds.values())
    if spare <= 0:
        return inf
    within = sum(s.squares - s.tokens**2 / s.requests for s in kinds.values()) / spare
    apart, size, degrees = 0.0, 0.0, 0
    for children in parents.values():
        requests = sum(s.requests for s in children)
        mean = sum(s.tokens for s in children) / requests
        apart += sum(s.requests * (s.mean - mean) ** 2 for s in children)
        size += requests - sum(s.requests**2 for s in children) / requests
        degrees += len(children) - 1
    between = (apart - degrees * within) / size if size > 0 else 0.0
    return within / between if between > 0 else inf
