"""Wilson's score interval of a share (E. B. Wilson 1927, JASA 22:209-212)."""

from math import sqrt

from pyspark.sql import Column
from pyspark.sql import functions as F

Z = 1.959963984540054  # 97.5% quantile of the normal distribution: a 95% interval


def wilson(share: Column, n: Column) -> tuple[Column, Column]:
    """Lower and upper end of the 95% interval of `share` (0..1) of `n` cases; null where n is 0."""
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * F.sqrt(share * (1 - share) / n + Z**2 / (4 * n * n))
    return F.greatest(F.lit(0.0), centre - half), F.least(F.lit(1.0), centre + half)


def interval(passed: int, n: int, z: float = Z) -> tuple[float, float]:
    """The same for figures in the driver, at another quantile `z` where wanted; (0, 1) where n is 0."""
    if not n:
        return 0.0, 1.0
    share, scale = passed / n, 1 + z**2 / n
    centre, half = share + z**2 / (2 * n), z * sqrt(share * (1 - share) / n + z**2 / (4 * n * n))
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
