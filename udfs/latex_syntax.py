r"""Whether the LaTeX in a text would parse: delimiters, braces, \left and \right, environments, arguments, references.

No typesetter: an unknown command passes. Code, in fences or backticks, is left out; a dollar sign before a number is
money.
"""

import re

import pandas as pd

_CODE = r"```.*?(?:```|\Z)|`[^`\n]+`"
_DISPLAY = r"\$\$.+?\$\$|\\\[.+?\\\]|\\begin\{(?P<env>\w+\*?)\}.+?\\end\{(?P=env)\}"
_INLINE = r"\$(?![ $])[^$]*?(?<![ \\])\$(?!\d)|\\\(.+?\\\)"
_PARTS = re.compile(f"(?P<code>{_CODE})|(?P<display>{_DISPLAY})|(?P<inline>{_INLINE})", re.DOTALL)
_ESCAPED = re.compile(r"\\\\|\\[{}$%&#_]")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_MONEY = re.compile(r"\$\s?\d[\d.,]*")
_DELIMITER = re.compile(r"\\[\[\]()]|\\begin\{\w+\*?\}|\\end\{\w+\*?\}")
_WIDE = re.compile(r"\$(?!\s?\d)[^$]*\\[A-Za-z]+[^$]*\$")  # with a space beside its delimiters
_HALF_FORMULA = re.compile(r"\$[^$]{0,200}?(?:\\[A-Za-z]{2,}|[\^_]\{)")
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{(\w+\*?)\}")
_SIDE = re.compile(r"\\(left|right)(?![A-Za-z])")
_FAULTS = (
    re.compile(r"\\(?:frac|dfrac|tfrac|sqrt|binom|text|mathrm|mathbf|vec|hat|bar|overline)\s*(?=\}|$)"),
    re.compile(r"\\frac\s*\{[^{}]*\}\s*(?=[}=+)]|$)"),  # a fraction without denominator
    re.compile(r"[\^_]\s*(?:\}|$)"),
    re.compile(r"\^\s*(?:\w|\{[^{}]*\})\s*\^"),
    re.compile(r"\\(?:ref|eqref|cite|label|includegraphics|input|footnote)(?![A-Za-z])"),
)


def _unbalanced(formula: str) -> str | None:
    depth = 0
    for brace in re.findall(r"[{}]", formula):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            break
    if depth:
        return "braces"
    sides = _SIDE.findall(formula)
    if sides.count("left") != sides.count("right"):
        return r"\left and \right"
    stack: list[str] = []
    for kind, name in _ENVIRONMENT.findall(formula):
        if kind == "begin":
            stack.append(name)
        elif not stack or stack.pop() != name:
            return rf"\end{{{name}}}"
    return rf"\begin{{{stack[-1]}}}" if stack else None


def _formula_fault(formula: str) -> str | None:
    bare = formula.strip("$ \n")
    bare = re.sub(r"^\\[\[(]|\\[\])]$", "", bare).strip()
    if unbalanced := _unbalanced(bare):
        return unbalanced
    found = next((m for pattern in _FAULTS if (m := pattern.search(bare))), None)
    return bare[found.start() : found.start() + 20] if found else None


def fault(text: str) -> str | None:
    """What does not parse in the LaTeX of a text; null where there is none or all is well."""
    if "\\" not in text and "$" not in text:
        return None
    rest = _ESCAPED.sub(" ", re.sub(_CODE, " ", text, flags=re.DOTALL))
    for pattern in (_PARTS, _WIDE):
        for part in pattern.finditer(rest):
            if wrong := _formula_fault(part[0]):
                return wrong
        rest = pattern.sub(" ", rest)
    if delimiter := _DELIMITER.search(rest):
        return f"{delimiter[0]} without its pair"
    if half := _HALF_FORMULA.search(_MONEY.sub(" ", rest)):
        return f"{half[0][:20]} without its pair"
    return _formula_fault(rest) if _COMMAND.search(rest) else None


def faults(texts: pd.Series) -> pd.Series:
    """Lists of texts -> what does not parse in the first of them that has such LaTeX."""
    return texts.map(lambda row: next((wrong for text in row if text and (wrong := fault(text))), None))
