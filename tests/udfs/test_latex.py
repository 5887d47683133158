"""LaTeX that JSON has damaged: restored where that is certain, named where it is not, and nothing else is touched."""

import json

import pytest

from udfs.latex import restore


@pytest.mark.parametrize(
    "written",
    [
        r"$\frac{1}{2}$", r"so $a \neq b$ and $5 \times 10^3$", r"$$\rho = \frac{m}{V}$$", r"\(\beta + \theta\)", r"$E = h\nu$",
        r"\[ \nabla \cdot F = 0 \]", r"\begin{align} x &= \tan \theta, y &\to \infty \end{align}", r"$\text{if } x \notin A$",
        r"$\left( x \right)$", r"$\bar{x} \bullet \tau$", r"\frac{1}{2} without delimiters, 5\text{ m}", r"故 $\beta \neq 0$，所以 $\nu=3$",
        r"$\therefore \triangle ABC$", r"$\boldsymbol{v}$", r"$\forall x \nexists y$", r"$\binom{n}{r} \rfloor$",
    ],
)  # fmt: skip
def test_restore_commands_that_json_reads_as_control_characters(written):
    damaged = json.loads(f'"{written}"'.replace(r"\[", r"\\[").replace(r"\]", r"\\]").replace(r"\(", r"\\(").replace(r"\)", r"\\)")
                         .replace(r"\l", r"\\l").replace(r"\c", r"\\c").replace(r"\i", r"\\i").replace(r"\e", r"\\e"))  # fmt: skip
    assert any(c in damaged for c in "\b\f\n\r\t")
    assert restore(damaged, formula=False) == (written, None)


@pytest.mark.parametrize(
    "written", [r"\frac12", r"5 \times 10^3", r"x \neq 0", r"\theta", r"\tau", r"\nu = 3", r"a \to b"]
)
def test_restore_a_bare_formula_as_answer(written):
    assert restore(json.loads(f'"{written}"'), formula=True) == (written, None)


@pytest.mark.parametrize(
    "damaged",
    [
        "5 \times 3 is", "one \theta more", "a \neq b holds here", "x\x00y", "a \bad word", "a \x0b tab", "bytes \ufffd",
        "$$E = h\nu$$ is the energy", "form \feed",
    ],
)  # fmt: skip
def test_restore_names_what_it_cannot_restore(damaged):
    _, broken = restore(damaged, formula=False)
    assert broken


@pytest.mark.parametrize(
    "text",
    [
        "First line\nnot the second\tbut a column", "a\n\nnew paragraph: i = 3", "$$\nu = 3\n$$", "$$\nx = 1 \\\\\ny = 2\n$$",
        "```python\n\tifx = 1\n\ttimes = 3\n```", "say \"it\"\nthen\ttab", "costs $5\neach and $6\nin all", "1.\tone\n2.\ttwo",
        "in `a\times` code", "名词\n解释", "\\begin{cases}\ne^x \\\\\ni \\end{cases}", "It is\nnotable\ttoday",
        "It follows that there\nexists a limit",
    ],
)  # fmt: skip
def test_restore_leaves_other_text_alone(text):
    assert restore(text, formula=False) == (text, None)


def test_restore_line_ends():
    assert restore("a\r\nb\rc", formula=False) == ("a\nb\nc", None)
