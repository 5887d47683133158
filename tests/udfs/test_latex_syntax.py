"""LaTeX that would not parse is named; what parses, money, code and chemistry pass."""

import pytest

from udfs.latex_syntax import fault


@pytest.mark.parametrize(
    "text",
    [
        r"Find $\frac{1}{2$.", r"$\left( x + 1$", r"\begin{align} x = 1", r"Given $x^2 + \sqrt{y is", r"$\frac{1}$", "$x^$ is",
        r"see \ref{eq:1}", r"$x^2^3$", r"\(x + 1", r"\frac{1}{2", r"\end{cases}", r"$\begin{matrix} a \end{cases}$",
        r"求 $\frac{1}{x$ 的值", r"$f(x)\right)$", r"$ \sqrt{x $",
    ],
)  # fmt: skip
def test_fault_is_named(text):
    assert fault(text)


@pytest.mark.parametrize(
    "text",
    [
        "costs $5 and $6 in all", r"$5x+3$ and \$6", r"`\frac{` is code", r"$a_{1}$, $$\begin{cases} x & y \\ z \end{cases}$$",
        r"$\text{CO}_{3}{}^{2-}$", r"$\frac12$, $\frac ab$, $\frac{1}2$, $\frac{a}\sqrt{b}$", r"100 \% of \{1, 2\}", r"$\sqrt[3]{x}$",
        r"\[ x \\[2pt] y \]", r"$ \triangle ABC $ and $ x $", r"cost $\$0.60.$ How much", r"$f'^{2}$", "no mathematics", r"\frac{1}{2}",
    ],
)  # fmt: skip
def test_no_fault_in_what_parses(text):
    assert fault(text) is None
