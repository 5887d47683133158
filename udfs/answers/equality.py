"""When two values mean the same: certainly, certainly not, or not to be told.

Whole numbers and fractions are exact. A decimal equals what rounds to it, from MIN_DIGITS significant digits on; below
RELATIVE_DOUBT a difference of decimals is not certain. Formulas with names are the same where they have the same value
at every one of _POINTS points; two that differ may still mean the same (a constant of integration, another name), so
they are never certainly different.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256

from udfs.answers.expression import Expression
from udfs.answers.numbers import Number, mp, real
from udfs.answers.values import Value

MIN_DIGITS = 3
RELATIVE_DOUBT = 0.01
_IDENTITY = mp.mpf(10) ** -25  # of 40 digits: what cancellation leaves of them
_POINTS = 4


def same(one: Value, two: Value) -> bool | None:
    """True or False where it is certain, else null."""
    if one.kind == two.kind:
        return _SAME[one.kind](one, two)
    for first, second in ((one, two), (two, one)):
        if first.kind == "relation" and first.mark in ("=", "in") and _is_name(first.parts[0]):
            return same(first.parts[1], second)
    if {one.kind, two.kind} == {"alternatives", "list"}:
        return True if _same_members(one, two) else None
    return None


def _is_name(value: Value) -> bool:
    if value.kind != "scalar":
        return False
    expression: Expression = value.parts[0]
    return len(expression.names) == 1 and expression.evaluate(dict.fromkeys(expression.names, Fraction(7))) == 7


def _all(results: list[bool | None]) -> bool | None:
    return True if all(results) else False if False in results else None


def _same_in_order(one: Value, two: Value) -> bool | None:
    if one.mark != two.mark:
        return None
    if len(one.parts) != len(two.parts):
        return False
    return _all([same(a, b) for a, b in zip(one.parts, two.parts, strict=True)])


def _same_list(one: Value, two: Value) -> bool | None:
    """In the same order; in another one it may or may not mean the same, unless all say of what they are the value."""
    in_order = _same_in_order(one, two)
    if in_order is not True and all(part.kind == "relation" for part in one.parts + two.parts):
        return _same_members(one, two)
    return in_order or None


def _same_members(one: Value, two: Value) -> bool | None:
    results = [[same(a, b) for b in two.parts] for a in one.parts]
    if all(True in row for row in results) and all(True in column for column in zip(*results, strict=True)):
        return True
    differs = any(all(r is False for r in row) for row in [*results, *zip(*results, strict=True)])
    return False if differs else None


def _same_relation(one: Value, two: Value) -> bool | None:
    if one.mark != two.mark:
        return None
    left, right = same(one.parts[0], two.parts[0]), same(one.parts[1], two.parts[1])
    if left and _is_name(one.parts[0]):
        return right
    if left and right:
        return True
    sides = [side.parts[0] for side in (*one.parts, *two.parts) if side.kind == "scalar"]
    return True if len(sides) == 4 and _proportional(sides, one.mark) else None


def _proportional(sides: list[Expression], relation: str) -> bool:
    """Whether a - b and c - d of four sides differ by a constant factor: one equation in two forms; a positive one for
    an order."""
    a, b, c, d = sides
    names = a.names | b.names | c.names | d.names
    if not names or a.signs or b.signs or c.signs or d.signs or a.names | b.names != c.names | d.names:
        return False
    ratios = []
    for point in _points(names):
        first, second = (real(x.evaluate(point)) - real(y.evaluate(point)) for x, y in ((a, b), (c, d)))
        if abs(first) < _IDENTITY or abs(second) < _IDENTITY:
            return False
        ratios.append(first / second)
    steady = all(abs(r - ratios[0]) <= _IDENTITY * abs(ratios[0]) for r in ratios)
    ordered = relation in ("=", "≠") or (mp.im(ratios[0]) == 0 and mp.re(ratios[0]) > 0)
    return steady and ordered


@lru_cache(maxsize=256)
def _points(names: frozenset[str]) -> list[dict[str, Number]]:
    """Values of each name, of either sign and by its spelling, so that two names never have the same."""

    def value(name: str, point: int) -> Number:
        drawn = int.from_bytes(sha256(f"{point}|{name}".encode()).digest()[:4])
        return (Fraction(drawn, 2**31) + Fraction(1, 3)) * (1 if point == 0 or drawn % 2 else -1)

    return [{name: value(name, point) for name in names} for point in range(_POINTS)]


def _identical(a: Number, b: Number) -> bool:
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a == b
    a, b = real(a), real(b)
    return bool(abs(a - b) <= _IDENTITY * max(abs(a), abs(b)))


def _same_numbers(a: Number, b: Number, digits: list[tuple[Number, int]], certain: bool) -> bool | None:
    """`digits`: (value, significant digits) of those written as decimals."""
    if _identical(a, b):
        return True
    if mp.im(real(a)) or mp.im(real(b)):
        return None
    difference = abs(real(a) - real(b))
    if digits:
        value, count = min(digits, key=lambda d: d[1])
        magnitude = mp.floor(mp.log10(abs(real(value)))) if value else 0
        if difference <= mp.mpf(10) ** (magnitude - count + 1) / 2 * (1 + _IDENTITY):
            return True if count >= MIN_DIGITS else None
        if difference <= RELATIVE_DOUBT * max(abs(real(a)), abs(real(b))):
            return None
    return False if certain else None


def _same_scalar(one: Value, two: Value, factor: Fraction = Fraction(1)) -> bool | None:
    a, b = one.parts[0], two.parts[0]
    names = a.names | b.names
    if a.signs or b.signs:
        return _same_signs(a, b) if not names else None
    if names:
        points = _points(names)
        return True if all(_identical(a.evaluate(p), b.evaluate(p)) for p in points) else None
    first, second = a.evaluate({}), b.evaluate({}) * factor
    decimals = [(value, e.digits) for value, e in ((first, a), (second, b)) if e.digits]
    return _same_numbers(first, second, decimals, not (a.conventional or b.conventional))


def _same_signs(a: Expression, b: Expression) -> bool | None:
    first, second = ([e.evaluate({"±": Fraction(sign)}) for sign in (1, -1)] for e in (a, b))
    return True if a.signs and b.signs and all(any(_identical(x, y) for y in second) for x in first) else None


def _same_quantity(one: Value, two: Value) -> bool | None:
    factor = one.parts[1].factor(two.parts[1])
    return None if factor is None else _same_scalar(one, two, factor)


_SAME: dict[str, Callable[[Value, Value], bool | None]] = {
    "date": lambda one, two: one.parts == two.parts,
    "set": _same_members,
    "union": lambda one, two: _same_members(one, two) or None,
    "alternatives": lambda one, two: _same_members(one, two) or None,
    "list": _same_list,
    "tuple": _same_in_order,
    "matrix": _same_in_order,
    "row": _same_in_order,
    "relation": _same_relation,
    "scalar": _same_scalar,
    "quantity": _same_quantity,
}
