"""Displayed formulas and LaTeX environments in Markdown: without blank lines inside, unless an environment says where it
ends, and none that begins in code."""

import re
from bisect import bisect_left

DELIMITERS = {"$$": "$$", "\\[": "\\]"}
_CODE = r"^[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)*(`{3,}|~{3,})[\s\S]*?(?:^[ \t>]*\1[`~]*[ \t]*$|\Z)|`[^`\n]+`"
_OPENING = re.compile(rf"{_CODE}|(?P<opening>\$\$|\\\[|\\begin\{{(?P<name>[A-Za-z]+\*?)\}})", re.MULTILINE)
_PLACES = re.compile(r"(?=(?P<closing>\$\$|\\\]|\\end\{[A-Za-z]+\*?\}|(?P<blank>\n[ \t]*\n)))")


def formula_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each, in order, in time that grows with the text: closings are looked up."""
    places: dict[str, list[int]] = {}
    for found in _PLACES.finditer(text):
        places.setdefault("blank" if found["blank"] else found["closing"], []).append(found.start())

    def following(what: str, place: int) -> int:
        starts = places.get(what, [])
        i = bisect_left(starts, place)
        return starts[i] if i < len(starts) else len(text)

    spans, place = [], 0
    while opening := _OPENING.search(text, place):
        place = opening.end()
        if not opening["opening"]:
            continue
        closing = DELIMITERS.get(opening["opening"]) or f"\\end{{{opening['name']}}}"
        end = following(closing, place + (opening["name"] is None))  # there is something between delimiters
        if end < len(text) and (opening["name"] or following("blank", place) >= end):
            place = end + len(closing)
            spans.append((opening.start(), place))
    return spans
