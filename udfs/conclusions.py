r"""What a solution announces as its answer, and whether that is the item's.

Announced is what follows "the answer is", "Answer:", 答案是, 故选, what \boxed{} or #### holds, and "option B is correct".
The last announcement counts: a solution may weigh others before. What it does not know: a conclusion in other words.
"""

import re
from collections.abc import Sequence

import pandas as pd

from udfs import answers

_END = r"(?=\.(?:\s|$)|[。；;\n]|$)"
_LEAD = (
    r"(?i:\b(?:final |correct |right |best )?(?:answer|option|choice)(?: (?:is|should be|must be|would be)\b|\s*[:=])"
    r"(?: (?:therefore|thus|then|just|simply|option|choice|letter)\b)*)"
    r"|(?:答案|正确选项|正确的选项)(?:应该|应|就)?(?:是|为|选|[:：])+|(?:[故应]|因此|所以)选择?|选(?:择|项)?(?=\s*[(（]?[A-D])"
)
_ANNOUNCED = re.compile(rf"(?:{_LEAD})[\s*:：_]*(?P<text>[^\n]+?){_END}|^####\s*(?P<marked>.+)$", re.MULTILINE)
_BOX = re.compile(r"\\boxed\s*\{")
_VERDICT = re.compile(
    r"[(（]?\b([A-D])\b[)）]? is (?:therefore |thus )?the (?:correct|right|best) (?:answer|option|choice)"
)
_CORRECT = re.compile(
    r"(?i:\b(?:option|choice|statement) )[(（]?([A-D])[)）]? is (?:therefore |thus )?(?:correct|right|true)\b"
)
_NEGATED = re.compile(
    r"(?i)\b(?:not|except|incorrect|false|wrong|least|untrue)\b|错误|不正确|不属于|不是|不能|不包括|除了|有误|不符"
)
_LETTER = re.compile(
    r"^[\s*($\\]*(?:text|boxed|mathrm|mathbf)?[{(（]*\s*(?:(?i:option|choice)\s*|选项\s*)?[(（]?([A-D])(?![A-Za-z0-9'’^_=+*/])"
)
_ARTICLE = re.compile(r"^A [a-z]")
_REASON = re.compile(r",? (?:because|since|as|which|so|where|when|for)\b.*", re.DOTALL)
_NUMBER = re.compile(r"\d[\d,]*\.?\d*|\.\d+")


def _boxes(text: str) -> list[tuple[int, str]]:
    found = []
    for box in _BOX.finditer(text):
        depth, at = 1, box.end()
        while at < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        if not depth:
            found.append((box.start(), text[box.end() : at - 1]))
    return found


def announced(solution: str) -> list[str]:
    """What a solution announces as its answer, in the order of the text."""
    found = [(m.start(), m["text"] or m["marked"]) for m in _ANNOUNCED.finditer(solution)]
    found += [(m.start(), m[1]) for m in _VERDICT.finditer(solution)] + _boxes(solution)
    return [text.strip(" *_\n") for _, text in sorted(found)]


def _letter(text: str) -> str | None:
    found = _LETTER.match(text)
    return found[1] if found and not _ARTICLE.match(text) else None


def _same(one: str, two: str) -> bool | None:
    return answers.same(_REASON.sub("", one), two, False)


def _option(text: str, choices: Sequence[str], answer: str) -> str | None:
    """The letter of the one option that an announced text is; "none of the options" where it certainly is another
    answer; null where that cannot be told."""
    results = [_same(text, option) for option in choices]
    if results.count(True) == 1:
        return "ABCDEFGHIJ"[results.index(True)]
    return "none of the options" if results and all(result is False for result in results) else None


def contradiction(question: str, solution: str, answer: str, choices: Sequence[str] | None) -> str | None:
    """What the solution ends in where that is certainly not the item's answer, else null."""
    texts = announced(solution)
    if choices is None:
        return texts[-1] if texts and _same(texts[-1], answer) is False else None
    concluded = [letter for text in texts if (letter := _letter(text) or _option(text, choices, answer))]
    if not concluded and not _NEGATED.search(question):
        called_correct = set(_CORRECT.findall(solution))
        concluded = list(called_correct) if len(called_correct) == 1 else []
    return concluded[-1] if concluded and concluded[-1] != answer else None


def _digits(number: str) -> str:
    """Significant digits: those of 1,200, 1.2 and 0.0012 are 12."""
    return number.replace(",", "").replace(".", "").strip("0")


def unreached(solution: str, answer: str) -> str | None:
    """The number of an answer that its solution never comes to, in any power of ten and rounding; null where it does or
    the answer is not one number."""
    numbers = _NUMBER.findall(re.sub(r"10\s*\^|\^\s*\{?\s*[-−]?\d+\}?|[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+|_\{?\d+\}?", " ", answer))
    wanted = [_digits(number) for number in numbers]
    if len(wanted) != 1 or not wanted[0]:
        return None
    for number in map(_digits, _NUMBER.findall(solution)):
        shared = min(len(number), len(wanted[0]))
        if shared and abs(int(number[:shared]) - int(wanted[0][:shared])) <= (len(number) != len(wanted[0])):
            return None
    return numbers[0]


def equal_options(choices: Sequence[str]) -> str | None:
    """Two options that certainly mean the same value, so that two are right or none; null where there are none."""
    numeric = [option for option in choices if re.search(r"\d", option)]
    for i, one in enumerate(numeric):
        for two in numeric[i + 1 :]:
            if answers.same(one, two, False):
                return f"{one} | {two}"
    return None


def equal_options_of_all(choices: pd.Series) -> pd.Series:
    """Lists of options (null: none) -> `equal_options`."""
    return choices.map(lambda options: None if options is None else equal_options(list(options)))


def disagreements(items: pd.DataFrame) -> pd.Series:
    """[question, solution, answer, choices (null: open), calculation] -> how the solution disagrees with the answer,
    null where it does not: "ends in X, the answer is Y" or, in a calculation, "never comes to Y"."""
    columns = (items[name] for name in ("question", "solution", "answer", "choices", "calculation"))
    out = []
    for question, solution, answer, choices, calculation in zip(*columns, strict=True):
        other = contradiction(question, solution, answer, None if choices is None else list(choices))
        lacking = unreached(solution, answer) if calculation and solution.strip() and other is None else None
        ends_in = f"ends in {other}, the answer is {answer}" if other is not None else None
        out.append(ends_in or (f"never comes to {lacking}" if lacking else None))
    return pd.Series(out, index=items.index, dtype=object)
