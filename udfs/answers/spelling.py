"""An answer in one spelling: marks around it removed, Unicode mathematics as LaTeX; nothing that carries meaning goes.

`plain` is what the readers of values take, `literal` what two answers of the same characters share, `letter` the option
that an answer names.
"""

import re
import unicodedata
from collections.abc import Callable

_NARROW = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_CHARACTERS = str.maketrans(
    dict.fromkeys("−–‐‑﹣", "-")
    | dict.fromkeys("·⋅∙•", r"\cdot ")
    | {"×": r"\times ", "÷": r"\div ", "π": r"\pi ", "∞": r"\infty ", "∪": r"\cup ", "∈": r"\in ", "±": r"\pm "}
    | {"≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "〜": "~", "℃": "°C", "℉": "°F", "µ": "μ"}
    | {"Ω": "Ω", "Å": "Å", "\u3000": " ", "\xa0": " ", "\u202f": " ", "\u2009": " ", "′": "'"}
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣ", "0123456789+-()nix")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋ₙᵢₓ", "0123456789+-nix")
_SPACING = re.compile(r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits)(?![A-Za-z])|\\[!]")
# Rewritten in this order: pattern, replacement.
_REWRITES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣ]+"), lambda m: "^{" + m[0].translate(_SUPERSCRIPTS) + "}"),
    (re.compile(r"[₀₁₂₃₄₅₆₇₈₉₊₋ₙᵢₓ]+"), lambda m: "_{" + m[0].translate(_SUBSCRIPTS) + "}"),
    (re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\\degree(?![A-Za-z])"), "°"),
    (re.compile(r"(?<=\d)\\,\s*(?=\d{3}(?!\d))|(?<=\d)\{,\}(?=\d)|(?<=\d),\\!(?=\d)"), ""),  # thousands
    (_SPACING, ""),
    (re.compile(r"(?<!\\)\\[,;: ]|\\q?quad(?![A-Za-z])|(?<=[^\s(])~"), " "),
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\(?:leqslant|leq)(?![A-Za-z])"), r"\\le "),
    (re.compile(r"\\(?:geqslant|geq)(?![A-Za-z])"), r"\\ge "),
    (re.compile(r"\\neq(?![A-Za-z])"), r"\\ne "),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"√\s*(\d+(?:\.\d+)?|[A-Za-z])"), r"\\sqrt{\1}"),
    (re.compile(r"√"), r"\\sqrt "),
    (re.compile(r"\*\*(?=[\s({+-]*[\w\\])"), "^"),
]
_PREFIX = re.compile(
    r"(?i)^(?:(?:the )?(?:final |correct |right )?(?:answer|option|choice)(?: is|(?= ?[:=]))\s*[:=]?|ans(?:wer)?\s*[:=]"
    r"|#{4}|(?:最终|正确)?(?:答案|选项)(?:是|为)?\s*:?)\s*"
)
_PAIRS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("__", "__"), ("`", "`"))
_BOXED = re.compile(r"^\\(?:boxed|fbox)\s*\{(.*)\}$", re.DOTALL)
_WRAPPED = re.compile(
    r"\\(?:text|textrm|textbf|textit|mathrm|mathbf|mathit|mathsf|operatorname|mbox|rm|bf)\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
)
_ELEMENT_COUNT = re.compile(r"(?:(?<=[A-Z])|(?<=[A-Z][a-z])|(?<=[)\]]))_(?:\{(\d+)\}|(\d))")
_SPELLING_SPACE = re.compile(r"(?<![A-Za-z\d]) | (?![A-Za-z\d])|(?<=[A-Za-z]) (?=\d)|(?<=\d) (?=[A-Za-z])")
_WORD = re.compile(r"[^\W\d_]+")
_LETTER = re.compile(r"^[(\[【]?\s*(?P<letter>[A-Ja-j])\s*(?:[)\]】](?:\s|[.:,]|$)|[.:、,](?=\s*\S)|$)")
_CHOSEN = re.compile(r"^(?:故|应|因此|所以)*选\s*:?|(?i:^(?:option|choice)\s+)")


def _balanced(text: str) -> bool:
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def _unwrapped(text: str) -> str:
    """Without marks of emphasis and mathematics around the whole, and without "Answer:" before it."""
    while True:
        before = text
        text = text.strip()
        if not text.endswith("..."):
            text = text.rstrip(".,;:。 ") if text[-2:] != r"\," else text
        for opening, closing in _PAIRS:
            inner = text[len(opening) : len(text) - len(closing)]
            if len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing):
                text = inner if opening not in inner and closing not in inner else text
        boxed = _BOXED.match(text)
        text = boxed[1] if boxed and _balanced(boxed[1]) else text
        text = _PREFIX.sub("", text, count=1)
        if text == before:
            return text


def _currency(text: str) -> str:
    """Dollars in words; a dollar sign that is no money delimits mathematics and goes."""
    text = text.replace(r"\$", "¤")
    text = text.replace("$", "¤") if text.count("$") == 1 and re.search(r"\$\s*\d", text) else text.replace("$", " ")
    return re.sub(r"¤\s*([\d.,]*\d)", r"\1 dollars", text)


def plain(answer: str) -> str:
    """One spelling: NFC, half-width, LaTeX for Unicode mathematics, no marks around it, one space between words.

    Case, signs, units and superscripts stay (mW is not MW).
    """
    text = _unwrapped(unicodedata.normalize("NFC", answer).translate(_NARROW))
    text = _currency(text).translate(_CHARACTERS)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def unwrapped_text(text: str) -> str:
    """The content of \\text{...} and its kin in their place."""
    return _WRAPPED.sub(r" \1 ", text)


def literal(text: str) -> str:
    """A `plain` answer without spaces that only spell it; those between two words or two numbers stay."""
    text = " ".join(unwrapped_text(text).split())
    text = _ELEMENT_COUNT.sub(r"\1\2", text)  # H_2O and H2O
    text = re.sub(r"([\^_])\{(\w)\}", r"\1\2", text)
    return _SPELLING_SPACE.sub("", text)


def same_words(one: str, two: str) -> bool:
    """Whether two `plain` answers are the same words but for capitals that carry no meaning: NO is not No, Co not CO."""
    if one.casefold() != two.casefold() or re.search(r"[\d\\^=+*/_]", one):
        return False
    pairs = zip(_WORD.findall(one), _WORD.findall(two), strict=False)
    return all(a == b or {a, b} == {"no", "No"} or (len(a) > 2 and _is_word(a) and _is_word(b)) for a, b in pairs)


def _is_word(text: str) -> bool:
    return text.islower() or text.isupper() or text.istitle()


def letter(answer: str) -> str | None:
    """The option that an answer names: "B", "(b)", "B.", "B. four", "**B**", "Answer: B", "选B"; null where it names
    none."""
    text = unwrapped_text(plain(answer)).strip()
    found = _LETTER.match(_CHOSEN.sub("", text).strip())
    return found["letter"].upper() if found else None
