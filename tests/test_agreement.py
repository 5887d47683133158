"""Kappa, calibration error and rank correlation against values worked out by hand."""

import pytest

from boostqa.agreement import calibration_error, kappa, kappa_of, rank_correlation


def test_kappa_is_the_agreement_beyond_chance():
    # Cohen's kappa of the textbook table 20, 5 / 10, 15: p_o = 0.7, p_e = 0.5
    pairs = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    assert kappa(pairs) == pytest.approx(0.4)
    assert kappa_of("yes", pairs) == pytest.approx(0.4)
    assert kappa({}) is None and kappa({("a", "a"): 3}) is None


def test_kappa_of_one_label_counts_all_others_as_one():
    pairs = {("05", "05"): 8, ("06", "07"): 1, ("07", "06"): 1, ("05", "06"): 1, ("06", "06"): 5}
    # one against the rest: 8 and 7 of 16 agree, p_e = (9 x 8 + 7 x 8) / 256
    assert kappa_of("05", pairs) == pytest.approx((15 / 16 - 0.5) / 0.5)


def test_calibration_error_weighs_the_gap_of_each_bin_by_its_items():
    assert calibration_error([0.95, 0.95, 0.15, 1.0], [True, False, False, True]) == pytest.approx((0.9 + 0.15) / 4)
    assert calibration_error([0.5] * 2, [True, False]) == 0
    assert calibration_error([], []) is None


def test_rank_correlation_has_an_interval_and_needs_variety():
    r, low, high = rank_correlation([1, 2, 3, 4, 5], [1, 3, 2, 5, 4])
    assert r == pytest.approx(0.8)  # 1 - 6 x 4 / (5 x 24)
    assert low < r < high <= 1
    assert rank_correlation([3, 3, 3, 3], [1, 2, 3, 4]) is None
    assert rank_correlation([1, 2], [1, 2]) is None
