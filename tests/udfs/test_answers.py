"""Do two final answers mean the same: certain yes, certain no, or not to be told."""

import random

import pandas as pd
import pytest

from udfs.answers import compare, letter, same


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("3.0 m", "3 m"), ("1,200", "1200"), ("Paris.", " paris"), ("1/2", "0.5"), (r"$\frac{1}{2}$", "0.5"),
        ("10^3", "1000"), ("x^2+2x+1", "(x+1)^2"), ("１２", "12"), (".5", "0.5"), ("6.02e23", "6.02E23"),
        (r"\frac12", "0.5"), ("3.0×10^8 m/s", "300000 km/s"), ("x=2", "2"), (r"\dfrac{3}{4}", r"\tfrac34"),
        ("1/3", r"0.\overline{3}"), ("1 km", "1000 m"), ("3 米", r"3\text{ m}"), ("三千米", "3 km"), ("2斤", "1公斤"),
        (r"-\frac{1}{2}", r"\frac{-1}{2}"), (r"\sqrt{8}", r"2\sqrt2"), ("√2/2", r"\frac{1}{\sqrt{2}}"), ("1.2万", "12000"),
        (r"\{1,2\}", "{2, 1}"), ("(1, 2)", "( 1 , 2 )"), ("x=1 or x=-1", r"x=-1 \text{ or } x=1"), ("1 或 2", "2或1"),
        (r"x = \pm 2", "x=±2"), ("2024-11-05", "2024年11月5日"), ("$18", "18 dollars"), (r"\$18.00", "$18"),
        ("5 μm", r"5\,\mu\mathrm{m}"), ("9.8 m s^{-2}", "9.8 m/s²"), ("x>2", "2<x"), ("y=2x+1", "2x-y+1=0"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\ 4/2\end{pmatrix}"), ("H_2O", "H2O"), ("10⁻³", "0.001"),
        (r"(-\infty, 1]", r"\left(-\infty,1\right]"), ("3.14", "3.1416"), ("2^{10}", "1024"), (r"\boxed{7}", "**7**"),
        ("答案：5", "5"), ("The answer is 5.", "5"), ("5!", "120"), (r"\sin^2 x", r"1-\cos^2 x"), ("90°", r"90^\circ"),
        (r"\log_2 8", "3"), ("a = 1, b = 2", "b=2, a=1"), ("5 kg·m/s", r"5\,\mathrm{kg\cdot m\cdot s^{-1}}"),
        ("[1, 2, 3]", "[1,2,3]"), ("No", "no"),
    ],
)  # fmt: skip
def test_same_equal_answers_are_certain(first, second):
    assert same(first, second, False) is True and same(second, first, False) is True


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("12 apples", "13 apples"), ("3", "4"), ("50%", "51%"), ("-2", "2"), ("5*10^-3", "5*10^-9"), ("5*10^-3", "5"),
        ("1.2×10^-3 mol/L", "1.2×10^-5 mol/L"), ("10⁻³", "10⁻⁵"), ("2**10", "2**11"), (r"10^{-17}", r"10^{-18}"),
        (r"1.6\times10^{-19}", r"4.8\times10^{-19}"), (r"3\text{ m/s}", r"3\text{ km/s}"), ("5 MW", "5 mW"),
        (r"5\,\mathrm{kJ}", r"5\,\mathrm{J}"), ("65536", "65537"), ("2024-11-05", "2024-05-11"), (r"4\sqrt(2)", "4"),
        ("三米", "三千米"), ("(1,2)", "(2,1)"), (r"\{1,2\}", r"\{1,3\}"), ("x=2", "3"),
    ],
)  # fmt: skip
def test_same_other_values_are_certainly_different(first, second):
    assert same(first, second, False) is False and same(second, first, False) is False


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2x", "2"), ("2π", "2π r"), ("2i", "2"), ("3 + x", "3"), ("10³", "103m"), ("1,2", "12"), (".5", "5x"),
        ("50%", "0.5"), ("3 m", "3"), ("gravity", "because of gravity"), ("Rome", "Paris"), (r"$10\%$", "$10$"),
        ("{1,2}", "(1,2)"), ("1,2", "2,1"), (r"a \equiv 3 \pmod{5}", r"a \equiv 3 \pmod{7}"), ("0xFF", "0x00"),
        ("for(i=0;i<n;i++)", "for(i=0;i<=n;i++)"), ("x^2+1=0", "x^2+2=0"), ("f(1)=2", "f(2)=1"), ("E2", "SN2"),
        ("1s^2 2s^1", "1s^1 2s^2"), (r"\nabla\cdot F=0", r"\nabla\times F=0"), ("f'(x)=2x", "f(x)=2x"),
        ("N2", "2N"), ("H2O", "2HO"), ("e4", "d4"), ("CO", "Co"), ("NO", "No"), ("ab", "ba"), ("10-20", "20-10"),
        ("10-20", "-10"), ("1/2x", r"\frac{1}{2x}"), (r"2\frac12", "1"), ("x_1", "x_2"), ("sin(x)^2", "sin(x^2)"),
        (r"\vec a\times\vec b", r"\vec b\times\vec a"), ("a × b", "a · b"), ("12:30", "12:50"), ("1.2.3", "1.3.2"),
        ("x>2", "x<2"), ("x>2", r"x \ge 2"), (r"\sqrt{x^2}", "x"), ("101_2", "101_3"), ("25 °C", "25 K"), ("42_7", "427"),
        ("5 km", "5 mk"), ("[1,2]", "(1,2)"), ("x=1", "y=1"), ("1 or 2", "1 or 3"), ("", ""), ("A B", "B A"),
        (r"\int_0^1 x dx", r"\int_0^2 x dx"), ("0.3", "1/3"), ("3.14", "3.15"), ("x^{2y}", "x^2y"), ("a,b,c", "c,b,a"),
        (r"10^{10^{10^{10}}}", r"10^{10^{10^{11}}}"), ("200!!", "200"), ("0xF0", "0xF00"), ("Aa", "aa"), ("1 2", "12"),
        (r"\log 10", "1"), ("y = 2x+1", "z=2x+1"), ("1:2", "2:1"), ("Fe^{2+}", "Fe^{3+}"), ("Na+", "Na-"), ("x'", "x"),
    ],
)  # fmt: skip
def test_same_what_is_not_understood_as_a_whole_is_left_to_the_judge(first, second):
    assert same(first, second, False) is not True and same(second, first, False) is not True


def test_same_multiple_choice_compares_the_letter():
    for spelled in (
        "B. four",
        "b",
        "(B)",
        "**B**",
        "Answer: B",
        "Ｂ",
        r"\text{B}",
        r"\boxed{B}",
        "选B",
        "B)",
        "答案：（B）",
        "[B]",
    ):
        assert letter(spelled) == "B", spelled
        assert same(spelled, "B", True) is True and same("A", spelled, True) is False
    for spelled in ("A dog", "", "four", "AB", "E=mc^2"):
        assert letter(spelled) is None and same(spelled, "A", True) is None


def test_same_never_raises_and_needs_no_clock():
    pieces = [*r"0129.,+-*/^_(){}[]|!=<>%°'$&~;: xyefNHOiABC", "10^", "\\frac", "\\sqrt", "\\text{", "\\sin", "\\log_", "mol/L",
              "\\pm", "米", "三", "或", " or ", "e99999", "!", "\\cup", "²", "\\\\", "\ud800", "\\begin{matrix}"]  # fmt: skip
    draw = random.Random(7)
    for _ in range(3000):
        first, second = ("".join(draw.choices(pieces, k=draw.randint(1, 14))) for _ in range(2))
        assert same(first, second, False) in (True, False, None)
        assert not first.strip() or same(first, first, False) is not False
    for deep in (
        "(" * 290,
        "{" * 250 + "1" + "}" * 40,
        "9" * 299,
        "9^9^9^9^9",
        "9**9**9**9",
        "99999!!!",
        "-" * 200 + "1",
        "10,000 times the amount of energy needed to meet all of the world’s energy needs",  # no backtracking
    ):
        assert same(deep, "1", False) is not True


def test_compare_leader_is_the_first_equal_attempt():
    rows = pd.DataFrame(
        [("d", "4", ["4.0", "5", "4", "5.0"], False)], columns=["draft_id", "answer", "blind", "multiple_choice"]
    )
    [out] = compare([rows])
    assert out.iloc[0].to_dict() == {"draft_id": "d", "equal": [True, False, True, False], "leader": [0, 1, 0, 1]}
