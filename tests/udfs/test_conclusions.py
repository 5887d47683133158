"""What a solution announces as its answer against the item's: contradictions are found, everything else passes."""

import pytest

from udfs.conclusions import announced, contradiction, equal_options, unreached

OPTIONS = ["12 N", "24 N", "6 N", "48 N"]


@pytest.mark.parametrize(
    ("solution", "ends_in"),
    [
        ("The answer is (C).", "C"), ("The answer is A. No: the answer is C.", "C"), (r"Thus $\boxed{\text{D}}$", "D"),
        (r"Hence \boxed{6\text{ N}}.", "C"), ("So the answer is 48 N because 2 * 24 = 48.", "D"), ("C is the correct answer", "C"),
        ("**Answer: D**", "D"), ("Answer: **C**", "C"), ("Option C is correct.", "C"), ("故选：C", "C"), ("综上，正确选项是D。", "D"),
        ("答案为（C）。", "C"), ("选D", "D"), ("The final answer is 13 N.", "none of the options"),
    ],
)  # fmt: skip
def test_contradiction_of_a_letter(solution, ends_in):
    assert contradiction("What is the force?", solution, "B", OPTIONS) == ends_in


@pytest.mark.parametrize(
    "solution",
    [
        "", "The answer is B.", "So the answer is 24 N.", "Option A is too small. Option B is correct.", "The answer is A positive one.",
        "Option A is correct. Option C is correct.", "A项正确，C项正确。", "The answer is found by division.", "故选B。", "The answer is not C",
    ],
)  # fmt: skip
def test_no_contradiction_of_a_letter(solution):
    assert contradiction("What is the force?", solution, "B", OPTIONS) is None


def test_option_called_correct_says_nothing_where_the_wrong_one_is_asked():
    assert contradiction("Which option is not correct?", "Option C is correct.", "B", OPTIONS) is None
    assert contradiction("下列说法错误的是", "Option C is correct.", "B", OPTIONS) is None


@pytest.mark.parametrize(
    ("solution", "answer", "ends_in"),
    [
        ("The answer is 5.", "7", "5"), ("The answer is 5.", "5.0", None), ("#### 8", "9", "8"), ("答案是 12 米。", "15 米", "12 米"),
        (r"So \boxed{\frac{1}{2}}", "0.5", None), ("The answer is 0.5 km", "500 m", None), ("Answer: yes", "It is so", None),
        ("The answer is 5 because 2 + 3 = 5.", "6", "5 because 2 + 3 = 5"),
    ],
)  # fmt: skip
def test_contradiction_of_an_open_answer_only_where_certain(solution, answer, ends_in):
    assert contradiction("q", solution, answer, None) == ends_in


@pytest.mark.parametrize(
    ("solution", "answer", "lacking"),
    [
        ("2 + 3 = 5", "7", "7"), ("2.45 times 10 is 24.5", "25 N", None), ("It is 1200.", r"1.2 \times 10^{3}", None),
        ("a = b", "12 m/s^2", "12"), ("so it is 9.81", "9.8", None), ("half", "1/2", None), ("It follows.", "no number", None),
        ("", "12", "12"),
    ],
)  # fmt: skip
def test_unreached_number_in_any_rounding(solution, answer, lacking):
    assert unreached(solution, answer) == lacking


def test_announced_in_the_order_of_the_text():
    assert announced(r"The answer is A. Or \boxed{B}? 答案是C。") == ["A", "B", "C"]


def test_equal_options_are_those_of_one_value():
    assert equal_options(["1 km", "2 m", "1000 m", "x"]) == "1 km | 1000 m"
    assert equal_options(["H2", "H3", "50%", "5"]) is None
