from collections import Counter

import pandas as pd
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from udfs.rendering import ITEM, LAYOUTS, layout_of, render, together

ITEMS = {
    "worked": ("en", "proof", "Why is $x^2 \\ge 0$?", None, "A square 😀 of a real.", "It is $x \\cdot x$."),
    "options": ("en", "multiple_choice", "Which?", ["red", "blue"], "B ", "B"),
    "bare": ("en", "calculation", "How many?", None, None, "42"),
    "zh": ("zh", "calculation", "速度是多少？", ["2 m/s", "3 m/s"], "由定义可得 3 m/s。", "B"),
    "no_answer": ("en", "proof", "Prove it.", None, "Trivial.", None),
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A byte-level BPE, whose tokens take the space before a word along and cut a Chinese character in parts."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words = ["Question: Answer: Solution: real square of a Which red blue"] * 9
    made.train_from_iterator(words, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet))
    return made


def rendered(tokenizer: Tokenizer, rows: dict[str, tuple]) -> dict[str, dict]:
    frame = pd.DataFrame([(name, *values) for name, values in rows.items()], columns=list(ITEM))
    found = render(frame, tokenizer.to_str())
    return {name: row for name, row in zip(frame["draft_id"], found.to_dict("records"), strict=True)}


def of_layout(language: str, name: str, **values: tuple) -> dict[str, tuple]:
    """The rows under ids that draw a layout."""
    drawn = (n for n in range(10_000) if layout_of(str(n), language).name == name)
    return {str(next(drawn)): values[key] for key in values}


@pytest.mark.parametrize("name", [layout.name for layout in LAYOUTS["en"]])
@pytest.mark.parametrize("kind", ITEMS)
def test_render_parts_stand_where_the_spans_say_in_characters_and_tokens(tokenizer, kind, name):
    lang, _, question, choices, solution, answer = ITEMS[kind]
    (row,) = rendered(tokenizer, of_layout(lang, name, one=ITEMS[kind])).values()
    parts = {s["part"]: row["text"][s["start"] : s["end"]] for s in row["spans"]}
    lines = parts["question"].split("\n")
    assert lines[0] == question and [line[-len(o) :] for line, o in zip(lines[1:], choices or [], strict=True)] == (
        choices or []
    )
    wanted = {"reasoning": solution, "answer": answer}
    assert {p: t for p, t in parts.items() if p != "question"} == {
        p: t.strip() for p, t in wanted.items() if t and t.strip() != (answer if p == "reasoning" else None)
    }
    assert [s["part"] for s in row["spans"]] == [p for p in ("question", "reasoning", "answer") if p in parts]
    encoded = tokenizer.encode(row["text"], add_special_tokens=False)
    assert row["tokens"] == len(encoded.ids)
    for s in row["spans"]:
        inside = [i for i, (a, b) in enumerate(encoded.offsets) if a < s["end"] and b > s["start"]]
        assert [s["token_start"], s["token_end"]] == [inside[0], inside[-1] + 1]
        assert parts[s["part"]] in tokenizer.decode(encoded.ids[s["token_start"] : s["token_end"]])


def test_render_reads_as_plain_text_of_its_language_in_each_layout(tokenizer):
    texts = {
        (lang, layout.name): [
            row["text"]
            for row in rendered(tokenizer, of_layout(lang, layout.name, **{k: ITEMS[k] for k in kinds})).values()
        ]
        for lang, kinds in {"en": ("worked", "options"), "zh": ("zh",)}.items()
        for layout in LAYOUTS[lang]
    }
    why, square, answer = ITEMS["worked"][2], ITEMS["worked"][4], ITEMS["worked"][5]
    assert texts == {
        ("en", "question"): [f"Question: {why}\n\n{square}\n\nAnswer: {answer}", "Question: Which?\nA. red\nB. blue\n\nAnswer: B"],
        ("en", "problem"): [
            f"Problem: {why}\n\nProof: {square}\n\nFinal answer: {answer}", "Problem: Which?\n(A) red\n(B) blue\n\nFinal answer: B",
        ],
        ("en", "plain"): [f"{why}\n\n{square}\n\nAnswer: {answer}", "Which?\nA) red\nB) blue\n\nAnswer: B"],
        ("en", "dialogue"): [f"Q: {why}\nA: {square}\n\nThe answer is: {answer}", "Q: Which?\nA. red\nB. blue\n\nThe answer is: B"],
        ("en", "sections"): [
            f"## Question\n\n{why}\n\n## Proof\n\n{square}\n\n**Answer:** {answer}",
            "## Question\n\nWhich?\n- A. red\n- B. blue\n\n**Answer:** B",
        ],
        ("zh", "question"): ["问题：速度是多少？\nA. 2 m/s\nB. 3 m/s\n\n由定义可得 3 m/s。\n\n答案：B"],
        ("zh", "problem"): ["题目：速度是多少？\n（A）2 m/s\n（B）3 m/s\n\n解答：由定义可得 3 m/s。\n\n最终答案：B"],
        ("zh", "plain"): ["速度是多少？\nA、2 m/s\nB、3 m/s\n\n由定义可得 3 m/s。\n\n答案：B"],
        ("zh", "dialogue"): ["问：速度是多少？\nA. 2 m/s\nB. 3 m/s\n答：由定义可得 3 m/s。\n\n所以答案是：B"],
        ("zh", "sections"): ["## 题目\n\n速度是多少？\n- A. 2 m/s\n- B. 3 m/s\n\n## 解答\n\n由定义可得 3 m/s。\n\n**答案：** B"],
    }  # fmt: skip


def test_layouts_are_drawn_evenly_and_always_alike():
    drawn = Counter(layout_of(f"item {n}", "en").name for n in range(5_000))
    assert len(drawn) == 5 and all(900 < n < 1_100 for n in drawn.values())
    assert layout_of("a", "zh") == layout_of("a", "zh")


def test_together_parts_of_each_item_stand_where_the_spans_say(tokenizer):
    one = rendered(tokenizer, {name: ITEMS[name] for name in ("worked", "options", "zh")})
    documents = pd.DataFrame(
        {
            key: [[row[of] for row in one.values()]]
            for key, of in (("layouts", "layout"), ("texts", "text"), ("spans", "spans"))
        }
    )
    (document,) = together(documents, tokenizer.to_str()).to_dict("records")
    assert document["text"] == "\n\n".join(row["text"] for row in one.values())
    assert document["layout"] == "+".join(row["layout"] for row in one.values())
    assert document["tokens"] == len(tokenizer.encode(document["text"]).ids)
    wanted = [(s["part"], row["text"][s["start"] : s["end"]]) for row in one.values() for s in row["spans"]]
    assert [(s["part"], document["text"][s["start"] : s["end"]]) for s in document["spans"]] == wanted
    ids = tokenizer.encode(document["text"]).ids
    for span, (_, text) in zip(document["spans"], wanted, strict=True):
        assert text.strip() in tokenizer.decode(ids[span["token_start"] : span["token_end"]])
