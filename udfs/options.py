"""The options of a multiple-choice question and its answer, however a source writes them.

An answer may be a letter, an index or the text of an option, and the row alone does not always tell which: `readings`
gives every way to read it, the caller chooses one for the whole source.
"""

import json
import re
import string
from typing import Any, NamedTuple

import pandas as pd

from udfs.answers.spelling import plain
from udfs.text import normalise

LETTERS = string.ascii_uppercase
TEXT_KEYS = ("text", "value", "content", "option")
LABEL_KEYS = ("label", "key", "id", "letter")
EXPECTED = "a list of texts, of records with a label and a text, or an object of labels and texts"
OPTIONS = "options array<string>, labels array<string>, fault string"
READINGS = "shape string, label string, text string, index0 string, index1 string"
_BRACKETS = "()[]【】《》<> .:、"
_LEAD = re.compile(r"(?:answer|option|choice|答案|选项|选)(?:\s*:\s*|\s+|(?=[A-Z]))", re.IGNORECASE)
_SEPARATOR = re.compile(r"(?:[\s,;、/&+()]|\band\b|和)+")
_LETTER_AND_TEXT = re.compile(r"[(\[【]?\s*([A-Za-z])\s*[)\]】.:、]+\s*(.+)", re.DOTALL)
_LONGEST = 10_000  # characters of what may mean an option
_NUMBER = re.compile(r"(\d{1,3})(?:\.0+)?")


class Fault(ValueError):
    """Options that are none; the message says what was found."""


def _scalar(value: Any) -> str:
    if isinstance(value, list | dict):
        raise Fault(f"an option is {'a list' if isinstance(value, list) else 'an object'}")
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _key(record: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in record), None)


def _record(option: dict[str, Any]) -> tuple[str, str | None]:
    """(text, label) of {label, text} or {label: text}."""
    text, label = _key(option, TEXT_KEYS), _key(option, LABEL_KEYS)
    if text is not None:
        return _scalar(option[text]), None if label is None else _scalar(option[label])
    if len(option) == 1:
        [(label, value)] = option.items()
        return _scalar(value), label
    raise Fault(f"an option is an object of {', '.join(option) or 'nothing'}")


def _object(options: dict[str, Any]) -> list[tuple[str, str | None]]:
    """(text, label) of {text: [...], label: [...]} or {A: ..., B: ...}; options beyond the last that has a text are
    columns of other rows."""
    text, label = _key(options, TEXT_KEYS), _key(options, LABEL_KEYS)
    if text is not None and isinstance(options[text], list):
        labels = options[label] if label is not None else [None] * len(options[text])
        if not isinstance(labels, list) or len(labels) != len(options[text]):
            raise Fault(f"{text} and {label} differ in length")
        return [(_scalar(t), None if n is None else _scalar(n)) for t, n in zip(options[text], labels, strict=True)]
    if not all(re.fullmatch(r"[A-Za-z]|\d{1,2}", name) for name in options):
        raise Fault(f"an object of {', '.join(options)}")
    pairs: list[tuple[str, str | None]] = [(_scalar(value), name) for name, value in options.items()]
    last = max((i for i, value in enumerate(options.values()) if value is not None), default=-1)
    return pairs[: last + 1]


def _options(written: str | None) -> list[tuple[str, str | None]]:
    """(text, label) of each option of a JSON text; none for an open question. Raises Fault."""
    if written is None or not written.strip():
        return []
    try:
        # Digits stay as they are written.
        value = json.loads(written, parse_float=str, parse_int=str, strict=False)
    except (ValueError, RecursionError):
        raise Fault("a text") from None
    if isinstance(value, dict):
        return _object(value)
    if not isinstance(value, list):
        raise Fault("a single value")
    return [_record(o) if isinstance(o, dict) else (_scalar(o), None) for o in value]


def options(written: pd.Series) -> pd.DataFrame:
    """JSON texts -> OPTIONS: texts and labels, both null for an open question, labels where every option has one.

    `fault` says what is wrong with options that are none of the known kinds. A null option is blank.
    """
    rows: list[tuple[list[str] | None, list[str] | None, str | None]] = []
    for text in written:
        try:
            pairs = _options(text)
        except Fault as fault:
            rows.append((None, None, f"{fault}, expected {EXPECTED}"))
            continue
        labels = [label for _, label in pairs if label is not None]
        whole = bool(labels) and len(labels) == len(pairs)
        rows.append(([text for text, _ in pairs] or None, labels if whole else None, None))
    return pd.DataFrame(rows, columns=["options", "labels", "fault"])


class Reading(NamedTuple):
    """READINGS: the letters that an answer means as label (or letter), as text, as index from 0 or from 1."""

    shape: str | None = None
    label: str | None = None
    text: str | None = None
    index0: str | None = None
    index1: str | None = None


def _only(options: list[str], wanted: str) -> int | None:
    """The one option that equals the text: exactly, else folded, else in any case."""
    for fold in (str, plain, lambda text: plain(text).casefold()):
        folded = fold(wanted)
        found = [i for i, option in enumerate(options) if fold(option) == folded]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _pieces(answer: str) -> list[str]:
    """The answers of a JSON list, else the answer itself."""
    if answer.lstrip().startswith("["):
        try:
            value = json.loads(answer, parse_float=str, parse_int=str)
            return [_scalar(v) for v in value] if isinstance(value, list) else [answer]
        except (ValueError, RecursionError):
            pass
    return [answer]


def _core(answer: str) -> str:
    """`(B)`, `Ｂ.`, `Answer: B` -> `B`."""
    return _LEAD.sub("", plain(answer), count=1).strip(_BRACKETS)


def _letters(pieces: list[str]) -> list[str] | None:
    """The letters of `B`, `b`, `A,C`, `A and C`, `AC`; None where it is something else."""
    cores = [_core(piece) for piece in pieces]
    parts = [part for core in cores for part in _SEPARATOR.split(core)]
    if len(parts) == 1 and re.fullmatch("[A-Z]{2,}", parts[0]) and list(parts[0]) == sorted(set(parts[0])):
        parts = list(parts[0])
    single = all(re.fullmatch("[A-Za-z]", part) for part in parts)
    return [part.upper() for part in parts] if parts and single else None


def _together(places: list[int | None], size: int) -> str | None:
    """The letters of the options at these 0-based places, in order; None where one is missing or comes twice."""
    inside = [place for place in places if place is not None and 0 <= place < min(size, len(LETTERS))]
    whole = bool(inside) and len(inside) == len(places) == len(set(inside))
    return "".join(LETTERS[place] for place in sorted(inside)) if whole else None


def _label(piece: str, labels: list[str]) -> int | None:
    """The option with this label."""
    core, folded = _core(piece).casefold(), [_core(label).casefold() for label in labels]
    return folded.index(core) if folded.count(core) == 1 else None


def _text(piece: str, options: list[str]) -> int | None:
    """The option with this text, bare or behind its letter."""
    both = _LETTER_AND_TEXT.fullmatch(_LEAD.sub("", plain(piece), count=1))
    place = LETTERS.index(both[1].upper()) if both else len(options)
    if both and place < len(options) and plain(options[place]).casefold() == plain(both[2]).casefold():
        return place
    return _only(options, piece)


def _reading(answer: str, options: list[str], labels: list[str] | None) -> Reading:
    if len(answer) > _LONGEST:
        return Reading("text")
    pieces, size = _pieces(answer), len(options)
    label = _together([_label(piece, labels or []) for piece in _letters(pieces) or pieces], size)
    text = None if label else _together([_text(piece, options) for piece in pieces], size)
    numbers = [found for piece in pieces if (found := _NUMBER.fullmatch(_core(piece)))]
    if len(numbers) == len(pieces):
        values = [int(found[1]) for found in numbers]
        label = label or _together([_label(str(v), labels or []) for v in values], size)
        text = None if label else text or _together([_only(options, str(v)) for v in values], size)
        return Reading("number", label, text, _together([*values], size), _together([v - 1 for v in values], size))
    letters = _letters(pieces)
    if letters is None:
        return Reading("text", text=label or text)
    if not any(re.fullmatch("[A-Za-z]", _core(name)) for name in labels or []):  # else these are the letters
        label = label or _together([LETTERS.index(letter) for letter in letters], size)
    return Reading("letter", label, text)


def readings(answers: pd.Series, options: pd.Series, labels: pd.Series) -> pd.DataFrame:
    """Answers, options and labels of `options` -> READINGS; all null where a question is open or has no answer.

    shape: `letter`, `number`, or `text` where only `text` counts; a reading that fits no option is null.
    """
    rows = [
        _reading(a.strip(), list(o), None if n is None else list(n)) if o is not None and a and a.strip() else Reading()
        for a, o, n in zip(normalise(answers), normalise(options), labels, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(Reading._fields))
