"""allocation: tokens and requests of cells, whatever the figures are."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from boostqa.allocation import Bounds, fill, highest_floor, whole

WEIGHTS = st.fractions(min_value=0, max_value=4, max_denominator=1000)


@st.composite
def cells_and_total(draw):
    cells = {}
    for number in range(draw(st.integers(1, 12))):
        least, room = draw(st.integers(0, 50)), draw(st.integers(0, 10 ** draw(st.integers(1, 12))))
        cells[f"c{number:02}"] = Bounds(draw(WEIGHTS), least, least + room)
    total = draw(st.integers(sum(c.floor for c in cells.values()), sum(c.capacity for c in cells.values())))
    return cells, total


@given(cells_and_total())
def test_fill_sums_to_the_total_within_all_bounds_whatever_the_order(given_cells):
    cells, total = given_cells
    tokens = fill(cells, total)
    assert sum(tokens.values()) == total
    assert all(c.floor <= tokens[name] <= c.capacity for name, c in cells.items())
    assert fill(dict(reversed(cells.items())), total) == tokens


@given(cells_and_total(), st.fractions(min_value=0, max_value=3, max_denominator=1000))
def test_fill_cell_whose_weight_grows_never_gets_less_and_no_other_gets_more(given_cells, more):
    cells, total = given_cells
    heavier = cells | {"c00": cells["c00"]._replace(weight=cells["c00"].weight + more)}
    before, after = fill(cells, total), fill(heavier, total)
    assert after["c00"] >= before["c00"]
    assert all(after[name] <= before[name] for name in cells if name != "c00" and cells["c00"].weight > 0)


@given(cells_and_total())
def test_fill_between_its_bounds_is_in_proportion_to_weight(given_cells):
    cells, total = given_cells
    tokens = fill(cells, total)
    free = [name for name, c in cells.items() if c.weight > 0 and c.floor < tokens[name] < c.capacity]
    for one in free:
        for other in free:  # Webster: nobody would rather have another's next token
            have, next_one = tokens[one] - Fraction(1, 2), tokens[other] + Fraction(1, 2)
            assert have / cells[one].weight <= next_one / cells[other].weight


def test_fill_what_full_cells_cannot_take_goes_to_the_rest_and_last_to_cells_without_weight():
    cells = {
        "full": Bounds(Fraction(8), 0, 10), "rest": Bounds(Fraction(1), 0, 60), "idle": Bounds(Fraction(0), 5, 90)
    }  # fmt: skip
    assert fill(cells, 45) == {"full": 10, "rest": 30, "idle": 5}
    assert fill(cells, 100) == {"full": 10, "rest": 60, "idle": 30}


@given(
    st.dictionaries(st.text(max_size=3), st.fractions(min_value=0, max_value=10**6, max_denominator=999), max_size=20)
)
def test_whole_parts_are_rounded_to_the_sum_rounded_up(parts):
    got = whole(parts)
    assert sum(got.values()) == -(-sum(parts.values()) // 1)
    assert all(abs(got[name] - part) < 1 for name, part in parts.items())


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(0, 5000))
def test_highest_floor_can_be_given_and_one_more_cannot(capacities, total):
    least = highest_floor(capacities, total)
    assert sum(min(least, c) for c in capacities) <= total
    assert least == total or sum(min(least + 1, c) for c in capacities) > total
