"""Do two final answers mean the same: certain yes, certain no, or not to be told."""

import pandas as pd
import pytest

from udfs.answers import compare, same


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("3.0 m", "3 m"), ("1,200", "1200"), ("Paris.", " paris"), ("1/2", "0.5"), (r"$\frac{1}{2}$", "0.5"),
        ("10^3", "1000"), ("x^2+2x+1", "(x+1)^2"), ("１２", "12"), (".5", "0.5"), ("6.02e23", "6.02E23"),
    ],
)  # fmt: skip
def test_same_equal_answers_are_certain(first, second):
    assert same(first, second, False) is True and same(second, first, False) is True


@pytest.mark.parametrize(("first", "second"), [("12 apples", "13 apples"), ("3", "4"), ("50%", "51%"), ("-2", "2")])
def test_same_other_numbers_with_one_unit_are_certainly_different(first, second):
    assert same(first, second, False) is False


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2x", "2"), ("2π", "2"), ("2i", "2"), ("3 + x", "3"), ("5!", "5"), ("10³", "103"), ("1,2", "12"), (".5", "5x"),
        ("5 MW", "5 mW"), ("50%", "0.5"), ("1 km", "1000 m"), ("3 m", "3"), ("gravity", "because of gravity"), ("Rome", "Paris"),
    ],
)  # fmt: skip
def test_same_what_the_matcher_cannot_tell_is_left_to_the_judge(first, second):
    assert same(first, second, False) is None


def test_same_multiple_choice_compares_the_letter():
    assert same("B. four", "b", True) is True and same("A", "B", True) is False


def test_compare_leader_is_the_first_equal_attempt():
    rows = pd.DataFrame(
        [("d", "4", ["4.0", "5", "4", "5.0"], False)], columns=["draft_id", "answer", "blind", "multiple_choice"]
    )
    [out] = compare([rows])
    assert out.iloc[0].to_dict() == {"draft_id": "d", "equal": [True, False, True, False], "leader": [0, 1, 0, 1]}
