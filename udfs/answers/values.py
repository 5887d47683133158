"""A plain answer -> what kind of value it is as a whole.

Kinds: date, set, tuple or interval, union of these, list, alternatives (or), matrix, relation, quantity, scalar. What
is none of them as a whole is Unclear: text, code, chemistry, functions' values.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import cn2an

from udfs.answers.expression import parse
from udfs.answers.numbers import Unclear
from udfs.answers.units import Unit

_MAX_ITEMS = 40

_DATE = re.compile(r"(\d{4})(?:([-/.])(\d{1,2})\2(\d{1,2})|年(\d{1,2})月(\d{1,2})日?)")
_NUMBER = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])")
_CHINESE_NUMBER = re.compile(r"([零〇一二两三四五六七八九十百千万亿点]+)(?=[^零〇一二两三四五六七八九十百千万亿点]|$)")
_SCALES = {"万": 10**4, "亿": 10**8}
_RELATIONS = {"=": "=", r"\approx": "=", r"\in": "in", "<": "<", ">": ">", r"\le": "≤", r"\ge": "≥", r"\ne": "≠"}
_MIRRORED = {"<": ">", "≤": "≥"}
_RELATION = re.compile(r"<=|>=|!=|==|[<>=]|\\(?:le|ge|ne|lt|gt|approx|in)(?![A-Za-z])")
_SPELLED_RELATIONS = {"<=": r"\le", ">=": r"\ge", "!=": r"\ne", "==": "=", r"\lt": "<", r"\gt": ">"}
_ALTERNATIVES = re.compile(
    r"\s*(?:(?<![A-Za-z\\])or(?![A-Za-z])|\\text\s*\{\s*or\s*\}|\\(?:lor|vee)(?![A-Za-z])|或者?)\s*"
)
_AND = re.compile(r"\s*(?:,?\s*(?<![A-Za-z\\])and(?![A-Za-z])|,?\s*\\text\s*\{\s*and\s*\}|[、和])\s*")
_MATRIX = re.compile(r"\\begin\{([bpvBV]?matrix|array)\}(?:\{[lcr|]*\})?(.*?)\\end\{\1\}", re.DOTALL)
_UNIT_START = re.compile(
    r"\\(?:text|textrm|mathrm|mbox|rm)\s*\{|\\(?:mu|Omega|ohm)(?![A-Za-z])|[%°μΩÅ\u4e00-\u9fff]|[A-Za-z(]"
)
_NO_UNIT = re.compile(r"\\(?:times|cdot|frac|sqrt|pi|div|overline|bar|dot)(?![A-Za-z])|[eE][-+]?\d|pi\b|\(\s*[-+\d]")


@dataclass(frozen=True)
class Value:
    """`kind` and what it consists of; `mark` is the brackets of a tuple, the relation of a relation."""

    kind: str
    parts: tuple
    mark: str = ""


def read(text: str) -> list[Value]:
    """The values that a plain answer can be as a whole, the likeliest first. Raises Unclear where it is none."""
    if date := _DATE.fullmatch(text):
        numbers = tuple(int(n) for n in date.groups() if n and n.isdigit())
        return [Value("date", numbers)]
    for reader in (_alternatives, _container, _union, _list, _matrix, _relation):
        if (value := reader(text)) is not None:
            return [value]
    return _scalars(text)


def _one(text: str) -> Value:
    return read(text.strip())[0]


def _parts(kind: str, texts: Sequence[str], mark: str = "") -> Value:
    if len(texts) > _MAX_ITEMS:
        raise Unclear("too many parts")
    return Value(kind, tuple(_one(text) for text in texts), mark)


def _cut(text: str, separator: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """The pieces of a text between separators that stand in no bracket, and these separators."""
    depth, last, pieces, found = 0, 0, [], []
    at = 0
    while at < len(text):
        if depth == 0 and (match := separator.match(text, at)) and match.end() > at:
            pieces.append(text[last:at])
            found.append(match[0].strip())
            at = last = match.end()
            continue
        step = 2 if text[at] == "\\" else 1
        opened = text[at : at + step].removeprefix("\\")
        depth += (opened in ("(", "[", "{")) - (opened in (")", "]", "}"))
        at += step
    return [*pieces, text[last:]], found


def _alternatives(text: str) -> Value | None:
    pieces, found = _cut(text, _ALTERNATIVES)
    return _parts("alternatives", pieces) if found else None


def _list(text: str) -> Value | None:
    if _NUMBER.match(text) and "," not in _NUMBER.sub("", text, count=1):
        return None  # thousands
    pieces, _ = _cut(text, _AND)
    pieces = [item for piece in pieces for item in _items(piece)]
    return _parts("list", pieces) if len(pieces) > 1 else None


def _items(text: str) -> list[str]:
    """Between commas; a comma before three digits may be one of thousands where none of the others has a space."""
    pieces, found = _cut(text, re.compile(r",\s+|;\s*"))
    if found:
        return pieces
    pieces, found = _cut(text, re.compile(","))
    if any(re.match(r"\d{3}(?!\d)", piece) for piece in pieces[1:]):
        raise Unclear("commas of a list or of thousands")
    return pieces


def _container(text: str) -> Value | None:
    marks = re.fullmatch(r"(\\?\{|\(|\[|\\langle)(.*?)(\\?\}|\)|\]|\\rangle)", text, re.DOTALL)
    if marks is None or _closes_early(text):
        return None
    opening, inside, closing = marks.groups()
    pieces = _items(inside)
    if opening in ("{", r"\{") and closing in ("}", r"\}"):
        return _parts("set", pieces) if len(pieces) > 1 or opening == r"\{" else None
    return _parts("tuple", pieces, opening + closing) if len(pieces) > 1 else None


def _closes_early(text: str) -> bool:
    """Whether the first bracket closes before the end: (1,2),(3,4) is no tuple of four."""
    depth = 0
    marks = list(re.finditer(r"[(\[{)\]}]", text))
    for mark in marks[:-1]:
        depth += 1 if mark[0] in "([{" else -1
        if depth == 0:
            return True
    return False


def _union(text: str) -> Value | None:
    pieces, found = _cut(text, re.compile(r"\s*\\cup(?![A-Za-z])\s*"))
    return _parts("union", pieces) if found else None


def _matrix(text: str) -> Value | None:
    found = _MATRIX.fullmatch(text)
    if found is None:
        return None
    rows = [row for row in re.split(r"\\\\", found[2]) if row.strip()]
    return Value("matrix", tuple(_parts("row", row.split("&")) for row in rows), found[1][:1])


def _relation(text: str) -> Value | None:
    sides, found = _cut(text, _RELATION)
    if not found:
        return None
    if len(found) > 1:
        raise Unclear("a chain of relations")
    relation = _RELATIONS[_SPELLED_RELATIONS.get(found[0], found[0])]
    left, right = (side.strip() for side in sides)
    if relation in _MIRRORED:
        relation, left, right = _MIRRORED[relation], right, left
    return Value("relation", (_side(left), _side(right)), relation)


def _side(text: str) -> Value:
    """A side of a relation: letters alone are a product there, not a word."""
    try:
        return _one(text)
    except Unclear:
        return Value("scalar", (parse(text),))


def _scalars(text: str) -> list[Value]:
    quantity, unit = _quantity(text)
    if quantity and (unit is None or unit.unit is not None or not re.search(r"\d\s*[A-Za-z]{1,2}$", text)):
        return [quantity]
    try:
        expression = parse(text)
    except Unclear:
        if quantity:
            return [quantity]
        raise
    formula = bool(re.search(r"[\d\\^=+*/-]", text)) or len(text) == 1
    if not formula:
        raise Unclear("a word")
    if re.fullmatch(r"\d+\s*-\s*\d+|\d+/\d+/\d+", text):
        raise Unclear("a range, or a date")
    scalar = Value("scalar", (expression,))
    return [quantity, scalar] if quantity else [scalar]


def _quantity(text: str) -> tuple[Value | None, Unit | None]:
    """A number with a unit; null where the text is not one."""
    chinese = _CHINESE_NUMBER.match(text)
    text = f"{_chinese_number(chinese[1])}{text[chinese.end() :]}" if chinese else text
    at = 0
    while at < len(text):
        if skipped := _NO_UNIT.match(text, at):
            at = skipped.end()
        elif _UNIT_START.match(text, at):
            break
        else:
            at += 1
    number, unit = text[:at].strip(), text[at:].strip()
    if scale := _SCALES.get(unit[:1]):
        number, unit = f"({number})*{scale}", unit[1:]
    if not number or (not unit and not scale and not chinese) or number[-1] in "^_{":
        return (None, None)
    try:
        expression = parse(number)
        known = Unit(unit) if unit else None
    except Unclear:
        return (None, None)
    if expression.names or expression.signs:
        return (None, None)
    return (Value("quantity", (expression, known)) if known else Value("scalar", (expression,)), known)


def _chinese_number(text: str) -> float | int | str:
    try:
        return cn2an.cn2an(text.replace("〇", "零"), "smart")
    except ValueError:
        return text
