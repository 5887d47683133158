"""Folding keeps what tells two questions apart and forgets how they are spelled."""

import pytest
from pyspark.sql import functions as F

from boostqa.matching_text import folded, units

SAME = [
    (r"Solve $x^{2} \neq 4$.", "solve x^2 ≠ 4"), (r"$x^2-5x+6$", r"\(x² − 5x + 6\)"), (r"\frac52", r"\dfrac{5}{2}"),
    (r"\tfrac{a}{b}", r"\frac{a}{b}"), (r"\left( a+b \right)", "(a + b)"), ("a · b", r"a \cdot b"), ("這是一個問題嗎？", "这是一个问题吗"),
    ("Is 12 + 4 = 16?", "is 12+4=16"), ("well-known fact", "well known fact"), ("A ∪ B", r"A \cup B"), ("x ≤ 3", r"x \leq 3"),
    ("SO₄²⁻", r"SO_4^{2-}"), ("“Quoted”, he said.", '"quoted" he said'), (r"$\alpha+\beta$", "α + β"), ("a_{1}", "a_1"),
    (r"\sqrt{2}", "√2"), ("what is 1,200 m", "What is 1200 m?"), ("f(x)=3", r"$f\left(x\right) = 3$"),
]  # fmt: skip
DIFFERENT = [
    ("x^2-5x+6", "x^2+5x+6"), ("12+4", "12-4"), ("A ∪ B", "A ∩ B"), ("12+4", "124"), ("x > 3", "x < 3"), ("x ≤ 3", "x < 3"),
    ("x^2", "x^3"), ("x^{2y}", "x^{2}y"), ("x^2", "x 2"), ("Na+", "Na-"), ("Fe^{2+}", "Fe^{3+}"), ("a = b", "a ≠ b"), ("1.5", "15"),
    ("p ∧ q", "p ∨ q"), ("2*3", "2+3"), ("6/3", "6*3"), ("f'(x)", "f(x)"), (r"\nabla\cdot F", r"\nabla\times F"), ("5! = n", "5 = n"),
    ("a → b", "a ← b"), ("∀x P", "∃x P"), ("-3", "3"), ("10%", "10"), ("i<=n", "i<n"), ("i++", "i--"), ("A ⊂ B", "A ⊃ B"),
    ("[1,2)", "[1,2]"), ("2(3+4)", "2*3+4"), (r"\sin x + \cos x", r"\sin x - \cos x"), (r"\sum a", r"\prod a"), ("10^{-3}", "10^{3}"),
]  # fmt: skip


@pytest.fixture(scope="module")
def fold(spark):
    texts = sorted({text for pair in SAME + DIFFERENT for text in pair})
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    return {row[0]: row[1] for row in frame.select("text", folded(F.col("text"))).collect()}


def test_folded_spellings_are_one_text(fold):
    assert [pair for pair in SAME if fold[pair[0]] != fold[pair[1]]] == []


def test_folded_meanings_stay_apart(fold):
    assert [pair for pair in DIFFERENT if fold[pair[0]] == fold[pair[1]]] == []


def test_folded_long_runs_of_signs_do_not_overflow_the_stack(spark):
    """Dot leaders and rules of a page ended the JVM: Java recurses for each repetition of a group."""
    frame = spark.createDataFrame([("Contents " + sign * 20_000 + " 7",) for sign in (".", "- ", "\n")], "text string")
    assert [row[0][:9] for row in frame.select(folded(F.col("text"))).collect()] == ["contents "] * 3


def test_units_of_a_formula_are_its_words_and_numbers_whatever_spaces_it_has(spark):
    texts = ["12+4", "12 + 4", "求 x²+1 的最小值", ""]
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    found = {row[0]: row[1] for row in frame.select("text", units(folded(F.col("text")))).collect()}
    assert found["12+4"] == found["12 + 4"] == ["12", "+4"] and found[""] == []
    assert found["求 x²+1 的最小值"] == list("求x^2+1的最小值")
