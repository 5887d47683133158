"""Numbers of answers: rational ones exact (fractions.Fraction), others with 40 digits (mpmath).

Every step is bounded, so that no answer takes long: powers and functions of huge arguments are Unclear.
"""

import operator
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath

mp = mpmath.MPContext()
mp.dps = 40
Number = Any  # Fraction, or mpf and mpc of `mp`

_MAX_ARGUMENT = 10**6
_MAX_BITS = 20_000
_MAX_FACTORIAL = 1000
_PERIOD = re.compile(r"(\d*)\.(\d*)\\\w+\s*\{(\d+)\}")


class Unclear(Exception):
    """The text, or a part of it, is not understood."""


def real(value: Number) -> Number:
    """A number of `mp` from a Fraction or such a number."""
    return mp.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def finite(value: Number) -> Number:
    """The value itself; Unclear where it is infinite or no number."""
    if not isinstance(value, Fraction) and not mp.isfinite(value):
        raise Unclear("no finite value")
    return value


def combine(operation: Callable[[Any, Any], Any], a: Number, b: Number) -> Number:
    """An operation of arithmetic; exact where both are rational."""
    exact = isinstance(a, Fraction) and isinstance(b, Fraction)
    try:
        return finite(operation(a, b) if exact else operation(real(a), real(b)))
    except ZeroDivisionError:
        raise Unclear("division by zero") from None


def power(a: Number, b: Number) -> Number:
    """a to the power of b, exact for a rational number and a whole exponent."""
    if a == 0 and (not isinstance(b, Fraction) or b <= 0):
        raise Unclear("a power of zero")
    if isinstance(a, Fraction) and isinstance(b, Fraction) and b.denominator == 1:
        bits = max(a.numerator.bit_length(), a.denominator.bit_length())
        if abs(b) * bits <= _MAX_BITS:
            return a ** int(b)
    if abs(b) > _MAX_ARGUMENT or abs(mp.mag(real(a))) > _MAX_ARGUMENT:
        raise Unclear("a huge power")
    return finite(mp.power(real(a), real(b)))


def apply(function: Callable[[Any], Any], argument: Number) -> Number:
    """A function of `mp` on a number of moderate size."""
    if abs(argument) > _MAX_ARGUMENT:
        raise Unclear("a huge argument")
    try:
        return finite(function(real(argument)))
    except (ArithmeticError, ValueError):
        raise Unclear("outside the function's domain") from None


def root(a: Number, n: Number) -> Number:
    """The principal n-th root; exact for the square of a rational number."""
    if n == 2 and isinstance(a, Fraction) and a >= 0:
        exact = Fraction(int(mp.sqrt(a.numerator)), int(mp.sqrt(a.denominator))) if abs(mp.mag(real(a))) < 100 else None
        if exact is not None and exact * exact == a:
            return exact
    return power(a, combine(operator.truediv, Fraction(1), n))


def factorial(n: Number) -> Number:
    """n!, for whole n up to 1000, or the gamma function of n + 1."""
    if isinstance(n, Fraction) and not (n.denominator == 1 and 0 <= n <= _MAX_FACTORIAL):
        raise Unclear("a factorial of this")
    return Fraction(int(mp.factorial(int(n)))) if isinstance(n, Fraction) and n <= 30 else apply(mp.factorial, n)


def number(text: str) -> tuple[Fraction, int | None]:
    """Value, and significant digits where the number is a decimal."""
    if period := _PERIOD.fullmatch(text):
        whole, fixed, repeated = period.groups()
        scale = 10 ** len(fixed)
        return Fraction(int((whole or "0") + fixed), scale) + Fraction(
            int(repeated), scale * (10 ** len(repeated) - 1)
        ), None
    text = text.replace(",", "")
    mantissa, _, exponent = text.lower().partition("e")
    if re.match(r"0\d", mantissa) or abs(int(exponent or 0)) > 4000:
        raise Unclear(f"{text} is written like no number")
    exact = "." not in mantissa
    return Fraction(text), None if exact else max(len(mantissa.replace(".", "").lstrip("0")), 1)
