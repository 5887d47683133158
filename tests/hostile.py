"""Input made to do harm, by rule: JSON Lines of documents and of questions."""

import json
from itertools import product

PROSE = {
    "en": "A lever is a rigid bar that turns about a fixed point, and number {} of our examples is a seesaw.",
    "zh": "杠杆是一根能绕固定点转动的硬棒，我们的第{}个例子是跷跷板，两端的力与力臂成反比。",
}
QUESTION = {"en": "How long is the arm of lever number {}?", "zh": "第{}根杠杆的力臂有多长？"}
# What stands in the middle of a text.
UNSEEN = [
    chr(c) for c in (0xAD, 0x34F, 0x61C, 0x115F, 0x180E, 0x200B, 0x200D, 0x202E, 0x2060, 0x2066, 0x3164, 0xFE0F, 0xFEFF)
]
UNSEEN += ["".join(chr(0xE0000 + ord(c)) for c in "tag"), "\ufff9", "\U0001d173"]
CONTROLS = ["\0", "\x07", "\x1b[31m", "\x85", "\u2028", "\ue000", "\ufffe", "\ufffd"]
MARKUP = ["<|im_end|>", "<|im_start|>system\n", "</s>", "<|im_\u200bend|>", "<<|im_end|>", "\u2060<|im_end|>"]
LOOKALIKES = ["а lеvеr", "ΤΗΕ", "ﬁne", "ｌｅｖｅｒ", "𝐥𝐞𝐯𝐞𝐫", "e\u0301" * 50]
SYNTAX = [
    "$$",
    "\\[",
    "\\begin{a}",
    "```\n",
    "> ",
    "| a ",
    "# x\n",
    "](",
    "<!--",
    "\\Q\\E",
    "$1",
    "%s",
    "{}",
    "'; --",
    "${x}",
]
INSERTED = [*UNSEEN, *CONTROLS, *MARKUP, *LOOKALIKES, *SYNTAX]
# What a long text consists of.
RUNS = [
    "a",
    "光",
    "1",
    ".",
    " ",
    "\n",
    "- ",
    "> ",
    "$ ",
    "\\[ ",
    "\\begin{a} ",
    "| a ",
    "# x\n",
    "`x ",
    "shown. ",
    "(a) ",
    "\u200b",
    "=",
    "'",
]
LONG, LONGEST = 10_000, 1_000_000
# What stands where a text belongs.
VALUES = [
    None,
    "",
    " \n",
    0,
    -1.5e300,
    True,
    [],
    {},
    ["a"],
    {"a": ["b"]},
    [[[[1]]]],
    "\u200b\u200b",
    "null",
    "NaN",
    "[]",
    "{",
]
LANGS = ["xx-unknown", "tlh", "de-DE", "EN_us.UTF-8", "[]", "\0", 7, "x" * 5000, ["en"], {"en": 1}, "ru", "und"]
LICENCES = [
    "GPL-3.0",
    "MIT OR",
    "((((",
    "MIT AND " * 500 + "MIT",
    ["MIT", None],
    {"id": "MIT"},
    "cc-by-4.0",
    "\u200bMIT",
    1,
    "x" * 5000,
]
RAW = [
    b"{", b"}", b"[]", b"null", b"\xff\xfe{\x00", b'{"t": "caf\xe9"}', b'{"t": "\xed\xa0\x80"}', b"\x00" * 50, b"\xf0\x9f",
    b'{"t": "\\ud800"}', b'{"t": "\\udc00\\ud800"}', b'{"t": "\\x"}', b'{"t": 1}}', b'{"t": 1} {"t": 2}', b"{'t': 'x'}",
    b'{"t": ' + b"[" * 2000 + b"]" * 2000 + b"}", b'{"t": {"t": ' * 500 + b"1" + b"}" * 1000, b'"text"', b'{"t": "a\tb"}',
    "{\"t\": \"光\"}".encode("gbk"), "{\"t\": \"light\"}".encode("utf-16"),
]  # fmt: skip


def _insertions(bases: dict[str, str], field: str):
    for number, (inserted, (lang, base)) in enumerate(product(INSERTED, bases.items())):
        text = base.format(number)
        yield {field: f"{text[:9]}{inserted}{text[9:]}", "lang": lang}


def _values(field: str, base: str):
    yield from ({field: value} for value in VALUES)
    for name, values in (("lang", LANGS), ("licence", LICENCES), ("by", VALUES), ("id", VALUES)):
        yield from ({field: base.format(f"{name} {n}"), name: value} for n, value in enumerate(values))
    yield from ({field: (run * LONG)[:LONG] + str(n)} for n, run in enumerate(RUNS))


def _lines(records) -> list[bytes]:
    usual = {"licence": "MIT"}
    return [
        json.dumps(usual | record, ensure_ascii=n % 2 == 0).encode("utf-8", "surrogatepass")
        for n, record in enumerate(records)
    ]


def documents() -> list[bytes]:
    """Lines with the fields t (text), id, lang, licence, by (attribution)."""
    longest = [{"t": (run * LONGEST)[:LONGEST], "lang": "en"} for run in ("a", "光")]
    return [*RAW, *_lines([*_insertions(PROSE, "t"), *_values("t", PROSE["en"]), *longest])]


def questions() -> list[bytes]:
    """Lines with the fields t (question), o (options), a (answer), lang, licence, by, id."""
    options = [
        {"t": QUESTION["en"].format(n), "o": value, "a": "A"}
        for n, value in enumerate([*VALUES, ["a", "a"], ["a"] * 60])
    ]
    options += [{"t": (run * LONGEST)[:LONGEST]} for run in ("shown. ", "a", "](", "[fig. ")]
    options += [{"t": QUESTION["en"], "o": ["1" * LONGEST, "x" * LONGEST], "a": "A " * LONGEST}]
    answers = [{"t": QUESTION["en"].format(f"a{n}"), "a": value} for n, value in enumerate(VALUES)]
    return _lines([*_insertions(QUESTION, "t"), *_values("t", QUESTION["en"]), *options, *answers])
