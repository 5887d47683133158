"""Items as plain text for training, in several layouts, with the place of each part in characters and tokens.

A layout is drawn by the hash of an item's id: a model that sees one layout only learns it, too.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tokenizers import Encoding

from udfs.control_tokens import control_tokens
from udfs.text import tokenizer_of

SPAN = "struct<part:string,start:int,end:int,token_start:int,token_end:int>"
RENDERED = f"layout string, text string, tokens int, spans array<{SPAN}>, control_tokens array<string>"
BETWEEN = "\n\n"  # items of one document
Place = tuple[str, int, int]  # part, start, end in characters
ITEM = ("draft_id", "lang", "format", "question", "choices", "solution", "answer")  # what `render` reads


@dataclass(frozen=True)
class Layout:
    """What stands before each part; `option` gets the letter, `reasoning` the word for it in this format."""

    name: str
    question: str
    option: str
    reasoning: str
    answer: str


LAYOUTS = {
    "en": (
        Layout("question", "Question: ", "\n{}. ", "\n\n", "\n\nAnswer: "),
        Layout("problem", "Problem: ", "\n({}) ", "\n\n{}: ", "\n\nFinal answer: "),
        Layout("plain", "", "\n{}) ", "\n\n", "\n\nAnswer: "),
        Layout("dialogue", "Q: ", "\n{}. ", "\nA: ", "\n\nThe answer is: "),
        Layout("sections", "## Question\n\n", "\n- {}. ", "\n\n## {}\n\n", "\n\n**Answer:** "),
    ),
    "zh": (
        Layout("question", "问题：", "\n{}. ", "\n\n", "\n\n答案："),
        Layout("problem", "题目：", "\n（{}）", "\n\n{}：", "\n\n最终答案："),
        Layout("plain", "", "\n{}、", "\n\n", "\n\n答案："),
        Layout("dialogue", "问：", "\n{}. ", "\n答：", "\n\n所以答案是："),
        Layout("sections", "## 题目\n\n", "\n- {}. ", "\n\n## {}\n\n", "\n\n**答案：** "),
    ),
}
REASONING = {
    "en": {"proof": "Proof", "explanation": "Explanation", "multiple_choice": "Explanation"},
    "zh": {"proof": "证明", "explanation": "说明", "multiple_choice": "解析"},
}
_SOLUTION = {"en": "Solution", "zh": "解答"}


def layout_of(draft_id: str, language: str) -> Layout:
    """The layout of an item."""
    layouts = LAYOUTS[language]
    return layouts[int(hashlib.sha256(f"layout {draft_id}".encode()).hexdigest()[:8], 16) % len(layouts)]


def _pieces(item: Any, layout: Layout, language: str) -> Iterator[tuple[str | None, str]]:
    """(part or None, text) in their order. Parts: `question` with its options, `reasoning`, `answer` without its label; a
    solution that only repeats the answer is left out."""
    choices = [] if item.choices is None else item.choices
    options = (layout.option.format(chr(ord("A") + i)) + option for i, option in enumerate(choices))
    yield None, layout.question
    yield "question", "".join([item.question, *options])
    solution, answer = (item.solution or "").strip(" "), (item.answer or "").strip(" ")
    if solution and solution != answer:
        word = REASONING[language].get(item.format, _SOLUTION[language])
        yield None, layout.reasoning.format(word)
        yield "reasoning", solution
    if item.answer is not None:
        yield None, layout.answer
        yield "answer", answer


def _spans(places: list[Place], encoded: Encoding) -> list[dict[str, Any]]:
    """Of each part the characters [start, end) and the tokens [token_start, token_end) that have one of them."""
    offsets = np.array(encoded.offsets or [(0, 0)])
    return [
        {
            "part": part,
            "start": start,
            "end": end,
            "token_start": int(np.searchsorted(offsets[:, 1], start, side="right")),
            "token_end": int(np.searchsorted(offsets[:, 0], end, side="left")),
        }
        for part, start, end in places
    ]


def render(items: pd.DataFrame, tokenizer_json: str) -> pd.DataFrame:
    """Rows of ITEM -> RENDERED, in their order: the text in the words of its language (Chinese for zh, else English), its
    tokens under a tokenizer (content of tokenizer.json; no special tokens added), where question, reasoning and answer stand
    in it (characters are code points), and the tokens that no text may have, none in one that was escaped."""
    texts, chosen, placed = [], [], []
    for item in items.itertuples(index=False):
        language = "zh" if item.lang == "zh" else "en"
        layout, text, places = layout_of(str(item.draft_id), language), "", []
        for part, piece in _pieces(item, layout, language):
            if part:
                places.append((part, len(text), len(text) + len(piece)))
            text += piece
        texts.append(text)
        chosen.append(layout.name)
        placed.append(places)
    return _counted(chosen, texts, placed, items.index, tokenizer_json)


def together(documents: pd.DataFrame, tokenizer_json: str) -> pd.DataFrame:
    """Rows of [layouts, texts, spans], of several rendered items each, -> RENDERED of one document each: the texts with a blank line
    between them, layouts joined by +."""
    texts, placed = [], []
    for parts, of_parts in zip(documents["texts"], documents["spans"], strict=True):
        text, places = "", []
        for part, spans in zip(parts, of_parts, strict=True):
            text += BETWEEN if text else ""
            places += [(s["part"], len(text) + s["start"], len(text) + s["end"]) for s in spans]
            text += part
        texts.append(text)
        placed.append(places)
    return _counted(["+".join(d) for d in documents["layouts"]], texts, placed, documents.index, tokenizer_json)


def _counted(
    layouts: list[str], texts: list[str], placed: list[list[Place]], index: pd.Index, tokenizer_json: str
) -> pd.DataFrame:
    names = control_tokens(tokenizer_json)
    encoded = tokenizer_of(tokenizer_json).encode_batch(texts, add_special_tokens=False)
    return pd.DataFrame(
        {
            "layout": layouts,
            "text": texts,
            "tokens": [len(e) for e in encoded],
            "spans": [_spans(places, e) for places, e in zip(placed, encoded, strict=True)],
            "control_tokens": [[names[i] for i in sorted(names.keys() & set(e.ids))] for e in encoded],
        },
        index=index,
    )
