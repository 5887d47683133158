"""How often the matcher of answers is right: reference answers against right spellings and wrong values made by rule.

    python bench/answers.py FILE.jsonl[.gz] ...        each line a JSON object with `answer`

Per file: precision (of all pairs called the same, those that are), recall (of all pairs that are the same, those called
so), the share of pairs that go to a judge ("cannot tell"), and right pairs that were called different.
"""

import gzip
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.table import Table

from udfs.answers import same

_INTEGER = re.compile(r"-?\d+")
_DECIMAL = re.compile(r"-?\d*\.\d+")
_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(\d+)\}\{(\d+)\}|(-?)(\d+)/(\d+)")
_UNITS = {
    "cm": ("mm", 10),
    "m": ("cm", 100),
    "km": ("m", 1000),
    "kg": ("g", 1000),
    "g": ("mg", 1000),
    "kJ": ("J", 1000),
}
_MEASURED = re.compile(r"(-?[\d.]+)\s*(?:\\,)?\\(?:text|mathrm)\{\s*~?(\w+)\}")


def _decimal(value: Fraction, digits: int) -> str:
    return f"{float(value):.{digits}g}"


def right(answer: str) -> Iterator[tuple[str, str]]:
    """(rule, spelling) of one answer that means the same."""
    if "$" not in answer:
        yield "marks", rf"$\boxed{{{answer}}}$"
    yield "sentence", f"The answer is {answer}."
    yield "layout", answer.replace(r"\frac", r"\dfrac").replace("(", r"\left(").replace(")", r"\right)")
    yield (
        "spaces",
        re.sub(r"(?<!\\)([+=,])(?!\\)", r" \1 ", answer) if not re.search(r"\d,\d{3}", answer) else f" {answer} ",
    )
    if _INTEGER.fullmatch(answer):
        yield "decimal", f"{answer}.0"
        yield "named", f"x = {answer}"
        yield "full width", "".join(chr(ord(c) + 0xFEE0) for c in answer)
        if len(answer.lstrip("-")) > 3:
            yield "thousands", f"{int(answer):,}"
            yield "thousands", f"{int(answer):,}".replace(",", "{,}")
    if _DECIMAL.fullmatch(answer) and float(answer):
        digits = len(answer.replace(".", "").replace("-", "").lstrip("0"))
        mantissa, exponent = f"{float(answer):.{max(digits - 1, 0)}e}".split("e")
        yield "scientific", rf"{mantissa}\times10^{{{int(exponent)}}}"
        yield "scientific", f"{mantissa}e{int(exponent)}"
        if digits > 3:
            yield "rounded", _decimal(Fraction(answer), digits - 1)
    if found := _FRACTION.fullmatch(answer):
        sign, top, bottom = [group for group in found.groups() if group is not None]
        value = Fraction(int(f"{sign}{top}"), int(bottom))
        yield "solidus", f"{sign}{top}/{bottom}"
        yield "not reduced", rf"\frac{{{sign}{3 * int(top)}}}{{{3 * int(bottom)}}}"
        yield "decimal", _decimal(value, 5)
    if r"\sqrt{" in answer:
        yield "power", re.sub(r"\\sqrt\{(\w+)\}", r"(\1)^{1/2}", answer)
        yield "unicode", re.sub(r"\\sqrt\{(\d+)\}", r"√\1", answer)
    if (found := _MEASURED.fullmatch(answer)) and found[2] in _UNITS:
        unit, factor = _UNITS[found[2]]
        yield (
            "unit",
            f"{Fraction(found[1]) * factor} {unit}" if (Fraction(found[1]) * factor).denominator == 1 else answer,
        )
    if re.search(r"\^\{\d+\}|\^\d", answer):
        yield "power", re.sub(r"\^\{(\d+)\}|\^(\d)", r"**\1\2", answer)
    if "\\" not in answer and re.search(r"[-+]", answer[1:]) and re.fullmatch(r"[-+\w^ ]+", answer):
        terms = re.findall(r"[-+]?[^-+]+", answer.replace(" ", ""))
        yield "order of terms", "".join(t if t[0] in "+-" else f"+{t}" for t in reversed(terms)).removeprefix("+")


def wrong(answer: str, draw: random.Random) -> Iterator[tuple[str, str]]:
    """(rule, answer) with another meaning."""
    numbers = list(re.finditer(r"(?<![\d.])\d+(?![\d.]|,\d{3})", answer))
    if numbers:
        number = draw.choice(numbers)
        value = int(number[0])
        for rule, other in (("plus one", value + 1), ("times ten", value * 10), ("digits", int(number[0][::-1]))):
            if other != value and not number[0].startswith("0"):
                yield rule, answer[: number.start()] + str(other) + answer[number.end() :]
    if _DECIMAL.fullmatch(answer) and float(answer):
        yield "five per cent", _decimal(Fraction(answer) * Fraction(21, 20), 6)
        yield "power of ten", f"{answer}\\times10^{{-3}}"
        yield "power of ten", f"{answer}*10^-3"
    if re.fullmatch(r"-?[\d.]+|-?\\frac.*", answer) and answer.strip("-0.") != "":
        yield "sign", answer[1:] if answer.startswith("-") else f"-{answer}"
        yield "name", f"{answer}x"
    if found := _FRACTION.fullmatch(answer):
        sign, top, bottom = [group for group in found.groups() if group is not None]
        if top != bottom:
            yield "inverse", rf"{sign}\frac{{{bottom}}}{{{top}}}"
    if r"\sqrt{" in answer and not re.search(r"\\sqrt\{[01]\}", answer):
        yield "no root", answer.replace(r"\sqrt", "", 1)
    if re.search(r"(?<=[\w}]) ?[+] ?(?=[\w\\])", answer) and r"\pm" not in answer:
        yield "minus for plus", answer.replace("+", "-", 1)
    if re.search(r"[a-z]\^\{?2\}?", answer):
        yield "cube for square", re.sub(r"([a-z])\^\{?2\}?", r"\1^3", answer, count=1)
    if found := re.fullmatch(r"\((-?\w+), ?(-?\w+)\)", answer):
        if found[1] != found[2]:
            yield "order", f"({found[2]},{found[1]})"
        yield "bracket", f"\\{{{found[1]},{found[2]}\\}}"
    if (found := _MEASURED.fullmatch(answer)) and found[2] in _UNITS:
        yield "unit", rf"{found[1]}\,\mathrm{{{_UNITS[found[2]][0]}}}"
    if answer.lower() in ("true", "false"):
        yield "other word", "false" if answer.lower() == "true" else "true"


def main(paths: list[str]) -> None:
    """Print the table, and each pair that was called wrongly."""
    console, draw = Console(width=150), random.Random(0)
    table = Table(
        "file",
        "answers",
        "right pairs",
        "wrong pairs",
        "precision",
        "recall",
        "cannot tell",
        "right called different",
        "pairs/s",
    )
    for path in paths:
        with gzip.open(path, "rt") if path.endswith(".gz") else Path(path).open() as lines:
            answers = [str(row["answer"]) for row in map(json.loads, lines) if row.get("answer") is not None]
        counts: Counter[tuple[bool, bool | None]] = Counter()
        missed: Counter[str] = Counter()
        start = time.perf_counter()
        for answer in answers:
            pairs = [(True, *pair) for pair in right(answer)] + [(False, *pair) for pair in wrong(answer, draw)]
            for equal, rule, other in pairs:
                said = same(answer, other, False)
                counts[equal, said] += 1
                missed[rule] += equal and said is not True
                if said is not None and said != equal:
                    console.print(
                        f"{'right' if equal else 'wrong'}, {rule}: {answer!r} {other!r} called {said}", markup=False
                    )
        seconds = time.perf_counter() - start
        of_right, of_wrong = (sum(counts[equal, said] for said in (True, False, None)) for equal in (True, False))
        yes = counts[True, True] + counts[False, True]
        unsure = counts[True, None] + counts[False, None]
        table.add_row(
            Path(path).name, f"{len(answers)}", f"{of_right}", f"{of_wrong}", f"{counts[True, True] / yes:.4f}",
            f"{counts[True, True] / of_right:.4f}", f"{unsure / (of_right + of_wrong):.4f}", f"{counts[True, False]}",
            f"{(of_right + of_wrong) / seconds:.0f}",
        )  # fmt: skip
        console.print(
            f"{Path(path).name}: right spellings not recognised, by rule: {dict(missed.most_common(8))}", markup=False
        )
    console.print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
