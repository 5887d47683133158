"""How far labels agree with those of a teacher or a reference: kappa, calibration, rank correlation. Plain Python."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

BINS = 10  # of the calibration error
_Z = 1.959964  # 0.975 quantile of the normal distribution

Pairs = Mapping[tuple[str, str], int]  # (label of the teacher, label of the pupil) -> items


def kappa(pairs: Pairs) -> float | None:
    """Cohen's kappa, agreement beyond chance: (p_o - p_e) / (1 - p_e) (Cohen 1960). None without items, and where both
    give one label to all: chance alone would agree."""
    items = sum(pairs.values())
    ours, theirs = Counter[str](), Counter[str]()
    for (a, b), n in pairs.items():
        ours[a] += n
        theirs[b] += n
    if not items:
        return None
    observed = sum(n for (a, b), n in pairs.items() if a == b) / items
    chance = sum(ours[label] * theirs[label] for label in ours) / items**2
    return None if chance == 1 else (observed - chance) / (1 - chance)


def kappa_of(label: str, pairs: Pairs) -> float | None:
    """Cohen's kappa of one label against all others."""
    merged: Counter[tuple[str, str]] = Counter()
    for (a, b), n in pairs.items():
        merged[(str(a == label), str(b == label))] += n
    return kappa(merged)


def calibration_error(probabilities: Sequence[float], right: Sequence[bool]) -> float | None:
    """Expected calibration error: the mean distance of probability and share of right labels over BINS bins of equal
    width, each with the weight of its items (Guo et al. 2017). None without items."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for p, r in zip(probabilities, right, strict=True):
        bins.setdefault(min(int(p * BINS), BINS - 1), []).append((p, r))
    gaps = (abs(sum(p - r for p, r in held)) for held in bins.values())
    return sum(gaps) / len(probabilities) if probabilities else None


def rank_correlation(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float] | None:
    """Spearman's correlation with its 95% interval by Fisher's z, whose standard error is sqrt((1 + r^2 / 2) / (n - 3))
    (Bonett and Wright 2000). None for fewer than 4 items, or where one side is the same throughout."""
    if len(ours) < 4 or len(set(ours)) == 1 or len(set(theirs)) == 1:
        return None
    r = float(pd.Series(ours).rank().corr(pd.Series(theirs).rank()))
    if abs(r) > 1 - 1e-12:
        return r, r, r
    z, error = math.atanh(r), _Z * math.sqrt((1 + r * r / 2) / (len(ours) - 3))
    return r, math.tanh(z - error), math.tanh(z + error)
