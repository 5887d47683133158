"""LaTeX that JSON has damaged: a model writes \\frac with one backslash, and JSON reads a form feed and "rac".

Restored is what is certain: a control character of such an escape (\\b \\t \\n \\f \\r) before the rest of a known command
inside mathematics; everywhere where no text has it: a backspace, form feed or carriage return, a tab before "ext{". What else
looks damaged is named, for the caller to reject. Code, in fences or backticks, is left alone.
"""

import re

import pandas as pd

SCHEMA = "texts array<string>, broken string"

# Commands that begin with a letter of a JSON escape, without that letter.
# fmt: off
_TAILS = {
    "\b": "ar because egin eta eth etween f ig igcap igcup igg iggl iggr igl igr igstar igvee igwedge inom mod ot oldsymbol "
          "owtie oxed ox oxplus oxtimes reve ullet ackslash igoplus igotimes igsqcup",
    "\f": "rac orall lat rown box lalign",
    "\n": "abla atural e earrow eg eq ewline exists geq i leq mid ot otin olimits onumber parallel subseteq u warrow cong sim",
    "\r": "ho ight ightarrow angle brace brack ceil floor m oot VERT vert Vert ightharpoonup ightleftharpoons ightarrowtail",
    "\t": "an anh au binom ext extbf extit extrm extsf exttt frac herefore heta hinspace ilde imes o op riangle riangleq "
          "riangleleft riangleright ag widdle fracc",
}
# fmt: on
_LETTERS = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_ALWAYS, _IN_MATHEMATICS = "\b\f\r", "\n\t"
_AMBIGUOUS = {"\ne", "\nu", "\ni", "\to", "\top", "\tan"}  # also a name or a word at the beginning of a line


def _damaged(characters: str) -> re.Pattern[str]:
    """A control character and the rest of a command it stands before."""
    each = (
        f"{re.escape(c)}(?:{'|'.join(sorted(_TAILS[c].split(), key=len, reverse=True))})(?![A-Za-z])"
        for c in characters
    )
    return re.compile("|".join(each))


_CERTAIN = re.compile(_damaged(_ALWAYS).pattern + r"|\t(?:ext(?:bf|it|rm|sf|tt)?|frac|binom|ilde)(?=\{)")
_LIKELY = _damaged(_IN_MATHEMATICS)
CODE = r"```.*?(?:```|\Z)|`[^`\n]+`"
_DISPLAY = r"\$\$.+?\$\$|\\\[.+?\\\]|\\begin\{(?P<env>\w+\*?)\}.+?\\end\{(?P=env)\}"
_INLINE = r"\$(?![ $])[^$]*?(?<![ \\])\$(?!\d)|\\\(.+?\\\)"
PARTS = re.compile(f"(?P<code>{CODE})|(?P<display>{_DISPLAY})|(?P<inline>{_INLINE})", re.DOTALL)
_INVALID = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]")  # with what stands for bytes that are no UTF-8
_PROSE = re.compile(r"[A-Za-z]{3,} [A-Za-z]{2,}|[\u4e00-\u9fff]{4}")
# Outside mathematics: the rest of a command that is no English word either.
_NO_WORDS = {"eq", "abla", "otin", "leq", "geq", "ewline", "onumber", "earrow", "au", "heta", "imes", "frac", "ilde"}
_NO_WORDS |= {"riangle", "herefore", "ext", "extbf", "extit", "extrm", "exttt", "anh", "binom", "ot"}


def _restored(damage: re.Match[str]) -> str:
    return f"\\{_LETTERS[damage[0][0]]}{damage[0][1:]}"


def _is_whole_line(before: str) -> bool:
    """Whether what stands before a line break ends a line of a display: the delimiter alone, or a row."""
    line = before.rsplit("\n", 1)[-1].strip()
    return line in ("", "$$", r"\[") or line.endswith(("\\\\", "}"))


def _formula(text: str, display: bool) -> tuple[str, str | None]:
    broken: list[str] = []

    def restore(damage: re.Match[str]) -> str:
        found, before = damage[0], text[: damage.start()]
        at_line_start = found[0] == "\n" or before.endswith("\n")
        if not (display and at_line_start and found in _AMBIGUOUS):
            return _restored(damage)
        if found[0] == "\t" or not _is_whole_line(before):
            broken.append(found)
        return found

    return _LIKELY.sub(restore, text), broken[0] if broken else None


def restore(text: str, formula: bool) -> tuple[str, str | None]:
    """(the text with its LaTeX restored, what is broken beyond that or null). `formula`: the text is an answer or an
    option, which may be mathematics without delimiters."""
    text = _CERTAIN.sub(_restored, text.replace("\r\n", "\n")).replace("\r", "\n")
    if formula and not PARTS.search(text) and not _PROSE.search(text):
        text = _formula(text, display=False)[0]
    out: list[str] = []
    broken: list[str] = []
    last = 0
    for part in PARTS.finditer(text):
        out.append(_prose(text[last : part.start()], broken))
        if part.lastgroup == "code":
            out.append(part[0])
        else:
            restored, left = _formula(part[0], display=part["display"] is not None)
            out.append(restored)
            broken += [left] if left else []
        last = part.end()
    out.append(_prose(text[last:], broken))
    text = "".join(out)
    if invalid := _INVALID.search(text):
        broken.append(invalid[0] + text[invalid.end() : invalid.end() + 8])
    return text, repr(broken[0]) if broken else None


def _prose(text: str, broken: list[str]) -> str:
    broken += [m[0] for m in _LIKELY.finditer(text) if m[0][1:] in _NO_WORDS]
    return text


def restore_all(texts: pd.Series, formulas_from: int) -> pd.DataFrame:
    """Lists of texts (null stays null), those from position `formulas_from` on answers or options -> SCHEMA: the lists
    restored, and the first damage that is left in one of them, as Python spells it."""
    rows = []
    for row in texts:
        pairs = [(None, None) if t is None else restore(t, i >= formulas_from) for i, t in enumerate(row)]
        rows.append(([text for text, _ in pairs], next((broken for _, broken in pairs if broken), None)))
    return pd.DataFrame(rows, columns=["texts", "broken"])
