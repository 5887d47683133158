"""ISCED-F 2013 disciplines and the table that maps benchmark subjects to them.

`isced_f.csv`: the detailed fields of UNESCO's ISCED-F 2013 (code, English and Chinese name), and what an annotator
calls them in each language: the labels begin with different tokens in the vocabularies of common models.
`subjects.csv`: every MMLU, CMMLU and C-Eval subject -> discipline, and the level where the subject's name says it.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pyspark.sql import Column
from pyspark.sql import functions as F

from boostqa.languages import LANGUAGES, in_language
from boostqa.lookup import literal_map
from boostqa.vocabulary import STEM_BROAD_FIELDS

CANNOT_TELL = {"en": "unclear", "zh": "无法判断"}


@dataclass(frozen=True)
class Discipline:
    """A detailed field of ISCED-F 2013."""

    code: str
    name: dict[str, str]  # by language: en, zh
    label: dict[str, str]  # by language: the short one that an annotator answers with


@dataclass(frozen=True)
class Subject:
    """A benchmark's subject and what its name says."""

    benchmark: str
    subject: str
    discipline: str
    level: str | None  # H1..H5


def _rows(file: str) -> list[dict[str, str]]:
    with open(Path(__file__).parent / file, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@cache
def disciplines() -> tuple[Discipline, ...]:
    """All detailed fields, by code."""
    rows = sorted(_rows("isced_f.csv"), key=lambda r: r["code"])

    def words(row: dict[str, str], column: str) -> dict[str, str]:
        return {lang: row[f"{column}_{lang}"] for lang in LANGUAGES}

    return tuple(Discipline(r["code"], words(r, "name"), words(r, "label")) for r in rows)


def english_names() -> dict[str, str]:
    """Code -> English name, of all detailed fields."""
    return {d.code: d.name["en"] for d in disciplines()}


@cache
def subjects() -> tuple[Subject, ...]:
    """All benchmark subjects."""
    return tuple(
        Subject(r["benchmark"], r["subject"], r["discipline"], r["level"] or None) for r in _rows("subjects.csv")
    )


def known_subjects() -> dict[str, tuple[str, str | None]]:
    """Subject -> (discipline, level or None), of those found under one discipline and level in every benchmark."""
    found: dict[str, set[tuple[str, str | None]]] = {}
    for s in subjects():
        found.setdefault(s.subject, set()).add((s.discipline, s.level))
    return {subject: next(iter(labels)) for subject, labels in found.items() if len(labels) == 1}


def discipline_of(words: Column) -> Column:
    """The discipline that a source names by its code, its name in either language, or a benchmark's subject; else null."""
    codes = {subject: code for subject, (code, _) in known_subjects().items()}
    codes |= {name.lower(): d.code for d in disciplines() for name in (d.code, *d.name.values())}
    return F.try_element_at(literal_map(codes), F.lower(F.trim(words)))


def discipline_name(code: Column, lang: Column) -> Column:
    """The name of a discipline in the language of a row's prompt; null for an unknown code."""
    by_lang = {key: literal_map({d.code: d.name[key] for d in disciplines()}) for key in LANGUAGES}
    return in_language(lang, F.try_element_at(by_lang["zh"], code), F.try_element_at(by_lang["en"], code))


def broad_field(code: Column) -> Column:
    """The broad field of a discipline: its first two digits."""
    return F.substring(code, 1, 2)


def is_stem(code: Column) -> Column:
    """Whether a discipline is STEM (broad fields 05, 06, 07)."""
    return broad_field(code).isin(*STEM_BROAD_FIELDS)
