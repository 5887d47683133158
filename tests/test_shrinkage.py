"""shrinkage: hand-computed estimates, and what holds for any counts."""

from math import isclose

from hypothesis import given
from hypothesis import strategies as st

from boostqa.shrinkage import estimates

A, B, C = ("0533", "H4"), ("0531", "H4"), ("0542", "H1")
MEASURED = {A: (8, 10), B: (2, 10)}
# mu = 0.5, Var(p) = 0.09, mean(p(1-p)/n) = 0.016, tau^2 = 0.074, m = 0.25 / 0.074 - 1


def test_estimate_of_two_cells_is_the_formula_computed_by_hand():
    m = 0.25 / 0.074 - 1
    got = estimates(MEASURED, [A])[A]
    assert isclose(got.share, (8 + m * 0.5) / (10 + m)) and isclose(got.weight, m / (10 + m))
    assert (got.items, got.towards, got.level) == (10, 0.5, "broad_field")


def test_cell_without_items_takes_its_broad_field_and_a_field_without_items_takes_all():
    got = estimates({**MEASURED, ("0222", "H5"): (0, 20)}, [C, ("0913", "H2")])
    assert got[C] == (0.5, 0, 0.5, "broad_field", 1.0)
    assert got["0913", "H2"] == (0.25, 0, 0.25, "all", 1.0)


def test_cells_that_differ_by_no_more_than_chance_are_drawn_in_whole():
    assert estimates({A: (5, 10), B: (6, 10)}, [A, B]) == {
        A: (0.55, 10, 0.55, "broad_field", 1.0),
        B: (0.55, 10, 0.55, "broad_field", 1.0),
    }


def test_cells_of_one_item_each_are_not_believed():
    got = estimates({A: (1, 1), B: (0, 1), C: (1, 1)}, [A, B])
    assert isclose(got[A].share, 2 / 3) and isclose(got[B].share, 2 / 3)


def test_nothing_measured_gives_no_estimate():
    assert estimates({}, [A]) == {} == estimates({A: (0, 0)}, [A])


CELLS = st.dictionaries(
    st.tuples(st.sampled_from(["0511", "0521", "0531", "0541", "0222"]), st.sampled_from(["H1", "H4"])),
    st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
)


@given(CELLS)
def test_estimate_lies_between_own_share_and_the_level_and_more_items_weigh_less(counts):
    got = estimates(counts, counts)
    by_field = {}
    for cell, (correct, items) in counts.items():
        if items:
            one = got[cell]
            low, high = sorted((correct / items, one.towards))
            assert low - 1e-12 <= one.share <= high + 1e-12 and 0 <= one.weight <= 1
            by_field.setdefault(cell[0][:2], []).append((items, one.weight))
    for cells in by_field.values():
        weights = [weight for _, weight in sorted(cells, key=lambda c: (c[0], -c[1]))]
        assert weights == sorted(weights, reverse=True)
