"""Folding keeps what tells two questions apart and forgets how they are spelled."""

import unicodedata
from pathlib import Path

import pytest
from pyspark.sql import functions as F

import boostqa
from boostqa.matching_text import folded, units
from udfs.text import INVISIBLE

SAME = [
    (r"Solve $x^{2} \neq 4$.", "solve x^2 ≠ 4"), (r"$x^2-5x+6$", r"\(x² − 5x + 6\)"), (r"\frac52", r"\dfrac{5}{2}"),
    (r"\tfrac{a}{b}", r"\frac{a}{b}"), (r"\left( a+b \right)", "(a + b)"), ("a · b", r"a \cdot b"), ("這是一個問題嗎？", "这是一个问题吗"),
    ("Is 12 + 4 = 16?", "is 12+4=16"), ("well-known fact", "well known fact"), ("A ∪ B", r"A \cup B"), ("x ≤ 3", r"x \leq 3"),
    ("SO₄²⁻", r"SO_4^{2-}"), ("“Quoted”, he said.", '"quoted" he said'), (r"$\alpha+\beta$", "α + β"), ("a_{1}", "a_1"),
    (r"\sqrt{2}", "√2"), ("what is 1,200 m", "What is 1200 m?"), ("f(x)=3", r"$f\left(x\right) = 3$"),
    ("Which particle is lightest?", "Whіch рartіclе іs lіghtеst?"), ("THE ATOM", "ΤΗΕ ΑΤΟΜ"), ("office", "oﬃce"),
    ("particular water", "ραrticυlαr wαter"), ("work of a magnet", "wоrк оf а маgnет"), ("ρgh", r"\rho gh"),
    ("2sinαcosβ", r"$2\sin\alpha\cos\beta$"), ("a hidden word", "a hid\u00adden\U000e0020 \u202ew\u200bo\u200dr\u034fd"),
]  # fmt: skip
DIFFERENT = [
    ("x^2-5x+6", "x^2+5x+6"), ("12+4", "12-4"), ("A ∪ B", "A ∩ B"), ("12+4", "124"), ("x > 3", "x < 3"), ("x ≤ 3", "x < 3"),
    ("x^2", "x^3"), ("x^{2y}", "x^{2}y"), ("x^2", "x 2"), ("Na+", "Na-"), ("Fe^{2+}", "Fe^{3+}"), ("a = b", "a ≠ b"), ("1.5", "15"),
    ("p ∧ q", "p ∨ q"), ("2*3", "2+3"), ("6/3", "6*3"), ("f'(x)", "f(x)"), (r"\nabla\cdot F", r"\nabla\times F"), ("5! = n", "5 = n"),
    ("a → b", "a ← b"), ("∀x P", "∃x P"), ("-3", "3"), ("10%", "10"), ("i<=n", "i<n"), ("i++", "i--"), ("A ⊂ B", "A ⊃ B"),
    ("[1,2)", "[1,2]"), ("2(3+4)", "2*3+4"), (r"\sin x + \cos x", r"\sin x - \cos x"), (r"\sum a", r"\prod a"), ("10^{-3}", "10^{3}"), ("α", "a"), ("ν = 3", "v = 3"),
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


def _looking_alike(spoof_checker) -> dict[str, str]:
    """Letters beyond ASCII that Unicode's confusables (UTS 39) take for a letter of ASCII, or whose capital they take for
    one (Greek capitals but: η is no h), with that letter; not those that NFKC maps."""

    def skeletons(characters: list[str]) -> list[str]:
        return spoof_checker.getSkeleton("\n".join(characters)).split("\n")

    ascii_letters = [c for c in map(chr, range(128)) if c.isalpha()]
    same = list(zip(ascii_letters, skeletons(ascii_letters), strict=True))
    letters = [c for c in map(chr, range(128, 0x110000)) if unicodedata.category(c) in ("Lu", "Ll", "Lt", "Lo")]
    letters = [c for c in letters if unicodedata.normalize("NFKC", c) == c]
    capitals = [c if unicodedata.name(c, "").startswith("GREEK") or len(c.upper()) > 1 else c.upper() for c in letters]
    found = {}
    for forms, as_written in ((capitals, False), (letters, True)):
        for letter, form, skeleton in zip(letters, forms, skeletons(forms), strict=True):
            like = [a for a, s in same if s == skeleton]
            like = [a for a in like if a.isupper() == form.isupper()] or like
            if like:
                found[letter] = like[0] if as_written or letter == form else like[0].lower()
    return found


def test_lookalikes_and_invisible_characters_are_those_of_unicode(spark):
    icu = spark._jvm.com.ibm.icu.text
    lines = (Path(boostqa.__file__).parent / "confusables.tsv").read_text(encoding="utf-8").splitlines()
    kept = {other: line[0] for line in lines if line[1] == "\t" for other in line[2:]}
    assert kept == _looking_alike(icu.SpoofChecker.Builder().build())
    ignorable = icu.UnicodeSet("[[:Default_Ignorable_Code_Point:]\ufff9-\ufffb]")
    ranges = [(ignorable.getRangeStart(i), ignorable.getRangeEnd(i)) for i in range(ignorable.getRangeCount())]
    unseen = "".join(chr(c) for first, last in ranges for c in range(first, last + 1))
    texts = spark.createDataFrame([(unseen, "x".join(unseen))], "unseen string, apart string")
    left = texts.select(*(F.regexp_replace(c, INVISIBLE, "").alias(c) for c in texts.columns)).first()
    assert (left["unseen"], set(left["apart"])) == ("", {"x"})
