"""yields: kept tokens per request by kind, few of a kind drawn to their parent."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostqa.yields import LEVELS, estimates


def measured(kind, *kept):
    sums = {"requests": len(kept), "tokens": sum(kept), "squares": sum(k * k for k in kept)}
    return dict(zip(LEVELS, kind, strict=True)) | sums


A, B = ("multi_grade", "proof", "H4", "en"), ("multi_grade", "calculation", "H4", "en")


def test_before_the_first_round_the_guess_counts_and_after_it_what_was_kept():
    assert estimates([], 100) == {(): 100}
    found = estimates([measured(A, *[50] * 40, *[0] * 60)], 100)
    assert found[()] == pytest.approx((2000 + 100) / 101)
    assert found[A] == pytest.approx(found[()])  # one kind says nothing of how kinds differ
    assert estimates([measured(A, *[0] * 9)], 100) == {(): 100}  # something is wrong: more requests would not mend it


def test_many_requests_speak_for_themselves_and_few_for_their_parent():
    many = [measured(A, *[0, 10] * 200), measured(B, *[90, 110] * 200)]
    found = estimates(many, 100)
    assert found[A] == pytest.approx(5, abs=0.2) and found[B] == pytest.approx(100, abs=0.2)
    few = ("multi_grade", "explanation", "H4", "en")
    found = estimates([*many, measured(few, 0)], 100)
    assert 0 < found[few] < 10  # kinds differ by far more than requests do: even one tells
    noisy = [measured(A, *[0] * 9, 900), measured(B, *[0] * 8, 900, 0)]
    found = estimates(noisy, 100)
    assert found[A] == found[B] == pytest.approx(found[()])


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("cd"), st.lists(st.integers(0, 900), min_size=1)), max_size=8
    )
)
def test_estimates_lie_between_what_was_seen_and_the_guess(rows):
    merged = {}
    for strategy, form, kept in rows:
        merged.setdefault((strategy, form, "H4", "en"), []).extend(kept)
    found = estimates([measured(kind, *kept) for kind, kept in merged.items()], 100)
    seen = [k for kept in merged.values() for k in kept] + [100]
    assert all(min(seen) - 1e-6 <= value <= max(seen) + 1e-6 for value in found.values())


def test_estimates_are_nearer_to_the_truth_than_the_kinds_own_means():
    draw, errors = random.Random(7), {"own": 0.0, "drawn": 0.0}
    for _ in range(40):
        truth = {(s, f, g, "en"): draw.gauss(60, 15) for s in "ab" for f in "cdef" for g in "gh"}
        sample = {
            kind: [max(0.0, draw.gauss(mean, 60)) for _ in range(draw.randint(2, 30))] for kind, mean in truth.items()
        }
        found = estimates([measured(kind, *kept) for kind, kept in sample.items()], 100)
        for kind, mean in truth.items():
            errors["own"] += (sum(sample[kind]) / len(sample[kind]) - mean) ** 2
            errors["drawn"] += (found[kind] - mean) ** 2
    assert errors["drawn"] < 0.7 * errors["own"]
