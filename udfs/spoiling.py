"""known items -> negative controls: each spoilt in one way, by rule and by hash, so that the same items give the same.

Grain: one item in, one item out. Key: item_id. An item that no defect fits (a short open question of one word) comes back
as it was, with the defect "none". What it does not know: whether a question without one of its quantities can still be
solved by chance.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from udfs.answers import same

SCHEMA = (
    "item_id string, defect string, lang string, question string, choices array<string>, answer string, solution string"
)
_FIELDS = ["lang", "question", "choices", "answer", "solution"]
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_FEWEST_WORDS = 8  # of a question that is cut off or shuffled; of Chinese three characters count as a word
_KEPT_SHARE = 0.6  # of the words of a question that is cut off
_REPLACED = 12  # one word in so many of a near copy
_SOURCE = {
    "en": ("According to the source text, ", "As shown in Figure 2, ", "Based on the passage above, "),
    "zh": ("根据上述材料，", "如图2所示，", "阅读短文，"),
}
_ANSWER_IS = {"en": "The answer is {}.", "zh": "答案是{}。"}
_SOME = {"en": "some", "zh": "若干"}

Item = dict[str, Any]


def _answer_is(item: Item, answer: str) -> str:
    return _ANSWER_IS[_prompt_language(item)].format(answer)


def _prompt_language(item: Item) -> str:
    return "zh" if item["lang"] == "zh" else "en"


def _number(item: Item, salt: str, below: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{item['item_id']}|{salt}".encode()).digest()[:6]) % below


def _words(item: Item) -> list[str]:
    return item["question"].split() if item["lang"] != "zh" else re.findall(r"[A-Za-z0-9.]+|\S", item["question"])


def _joined(item: Item, words: list[str]) -> str:
    return ("" if item["lang"] == "zh" else " ").join(words)


def _is_long(item: Item) -> bool:
    return len(_words(item)) >= _FEWEST_WORDS * (3 if item["lang"] == "zh" else 1)


def wrong_answer(item: Item) -> str | None:
    """Another letter; another number in the answer's form; the answer of another item; None where there is none."""
    if item["choices"] is not None:
        letters = "ABCDEFGHIJ"[: len(item["choices"])].replace(item["answer"], "")
        return letters[_number(item, "letter", len(letters))] if letters else None
    tries = [item["other_answer"]]
    if found := _NUMBER.search(item["answer"]):
        digits = found[0]
        for step in (_number(item, "step", 4) + 1, 5, 6):
            other = str((int(digits[0]) + step) % 9 + 1) + digits[1:]
            tries.insert(0, item["answer"][: found.start()] + other + item["answer"][found.end() :])
    return next((t for t in tries if t and same(item["answer"], t, False) is False), None)


def _with_answer(item: Item, answer: str) -> Item:
    """The item with another answer, in its solution as well."""
    solution = item["solution"]
    if item["choices"] is None:
        whole = rf"(?<![\w.]){re.escape(item['answer'])}(?![\w]|\.\d)"
        solution = re.sub(whole, lambda _: answer, solution)
        return {"answer": answer, "solution": solution or _answer_is(item, answer)}
    return {"answer": answer, "solution": _answer_is(item, answer)}


def _wrong(item: Item) -> Item | None:
    other = wrong_answer(item)
    return None if other is None else _with_answer(item, other)


def _contradicted(item: Item) -> Item | None:
    other = wrong_answer(item)
    if other is None:
        return None
    return {"solution": f"{item['solution']}\n{_answer_is(item, other)}".strip()}


def _quantity_removed(item: Item) -> Item | None:
    numbers = list(_NUMBER.finditer(item["question"]))
    if item["choices"] is not None or len(numbers) < 2 or not _NUMBER.search(item["answer"]):
        return None
    gone = numbers[_number(item, "quantity", len(numbers))]
    text = item["question"]
    return {"question": text[: gone.start()] + _SOME[_prompt_language(item)] + text[gone.end() :]}


def _two_right(item: Item) -> Item | None:
    if item["choices"] is None:
        return None
    right = "ABCDEFGHIJ".index(item["answer"])
    text = item["choices"][right].strip()
    twin = f"{text}.0" if re.fullmatch(r"\d+", text) else f"{text}." if not text.endswith(".") else text[:-1]
    place = "ABCDEFGHIJ".index(wrong_answer(item) or "A")
    return {"choices": [twin if i == place else c for i, c in enumerate(item["choices"])]}


def _cut_off(item: Item) -> Item | None:
    words = _words(item)
    return {"question": _joined(item, words[: int(len(words) * _KEPT_SHARE)])} if _is_long(item) else None


def _shuffled(item: Item) -> Item | None:
    words = _words(item)
    order = sorted(range(len(words)), key=lambda i: _number(item, f"place {i}", 2**40))
    return {"question": _joined(item, [words[i] for i in order])} if _is_long(item) else None


def _prompt_echo(item: Item) -> Item | None:
    return {"question": item["prompt_sentence"]} if item["prompt_sentence"] else None


def _source_reference(item: Item) -> Item:
    leads = _SOURCE[_prompt_language(item)]
    return {"question": leads[_number(item, "lead", len(leads))] + item["question"]}


def _answer_given(item: Item) -> Item:
    return {"question": f"{item['question']} ({_answer_is(item, item['answer'])})"}


def _of(item: Item, whose: str) -> Item | None:
    """Another item in the place of this one: a seed's (`seed`) or a benchmark's (`benchmark`)."""
    other = item[whose]
    if not other or not other["question"] or not other["answer"]:
        return None
    choices = None if other["choices"] is None else list(other["choices"])
    solution = _answer_is(item, other["answer"])
    return {"question": other["question"], "choices": choices, "answer": other["answer"], "solution": solution}


def _seed_near_copy(item: Item) -> Item | None:
    copy = _of(item, "seed")
    if copy is None or not _is_long(item | copy):
        return None
    words = _words(item | copy)
    names = [i for i, word in enumerate(words) if not _NUMBER.search(word)]
    for n in range(max(1, len(words) // _REPLACED)):
        words[names[_number(item, f"word {n}", len(names))]] = "此" if item["lang"] == "zh" else "this"
    return copy | {"question": _joined(item, words)}


_DEFECTS = {
    "wrong_answer": lambda item: None if item["choices"] is not None else _wrong(item),
    "wrong_letter": lambda item: _wrong(item) if item["choices"] is not None else None,
    "contradicted": _contradicted,
    "quantity_removed": _quantity_removed,
    "two_right_options": _two_right,
    "cut_off": _cut_off,
    "shuffled": _shuffled,
    "prompt_echo": _prompt_echo,
    "source_reference": _source_reference,
    "answer_given": _answer_given,
    "seed_copy": lambda item: _of(item, "seed"),
    "seed_near_copy": _seed_near_copy,
    "benchmark_leak": lambda item: _of(item, "benchmark"),
    "wrong_language": lambda item: {"lang": "en" if item["lang"] == "zh" else "zh"},
}


def spoil(item: Item, defect: str) -> Item | None:
    """What this defect changes in an item (lang, question, choices, answer, solution); None where it does not fit.

    `item` has item_id, lang (en | zh), question, choices (list or None), answer (a letter where there are choices),
    solution, other_answer (of another item, or None), prompt_sentence, seed and benchmark (question, choices, answer; or
    None).
    """
    return _DEFECTS[defect](item)


def spoil_all(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Batches of items as `spoil` takes them -> SCHEMA: each with the defect its hash chooses, the next one that fits."""
    names = list(_DEFECTS)
    for batch in batches:
        rows = []
        for record in batch.to_dict("records"):
            item: Item = {str(name): value for name, value in record.items()}
            item["choices"] = None if item["choices"] is None else list(item["choices"])
            start = _number(item, "defect", len(names))
            in_turn = names[start:] + names[:start]
            defect, changes = next(
                ((name, c) for name in in_turn if (c := spoil(item, name)) is not None), ("none", {})
            )
            changed = item | changes
            rows.append((item["item_id"], defect, *(changed[c] for c in _FIELDS)))
        yield pd.DataFrame(rows, columns=["item_id", "defect", *_FIELDS])
