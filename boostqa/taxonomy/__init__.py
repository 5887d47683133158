"""ISCED-F 2013 disciplines and the table that maps benchmark subjects to them.

`isced_f.csv`: the detailed fields of UNESCO's ISCED-F 2013 (code, English and Chinese name).
`subjects.csv`: every MMLU, CMMLU and C-Eval subject -> discipline, and the level where the subject's name says it.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pyspark.sql import Column
from pyspark.sql import functions as F

from boostqa.languages import LANGUAGES, in_language
from boostqa.vocabulary import STEM_BROAD_FIELDS

CANNOT_TELL = {"en": "cannot tell", "zh": "无法判断"}


@dataclass(frozen=True)
class Discipline:
    """A detailed field of ISCED-F 2013."""

    code: str
    name: dict[str, str]  # by language: en, zh


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
    return tuple(Discipline(r["code"], {"en": r["name_en"], "zh": r["name_zh"]}) for r in rows)


@cache
def subjects() -> tuple[Subject, ...]:
    """All benchmark subjects."""
    return tuple(
        Subject(r["benchmark"], r["subject"], r["discipline"], r["level"] or None) for r in _rows("subjects.csv")
    )


def discipline_name(code: Column, lang: Column) -> Column:
    """The name of a discipline in the language of a row's prompt; null for an unknown code."""
    by_lang = {
        key: F.create_map(*(F.lit(x) for d in disciplines() for x in (d.code, d.name[key]))) for key in LANGUAGES
    }
    return in_language(lang, F.try_element_at(by_lang["zh"], code), F.try_element_at(by_lang["en"], code))


def broad_field(code: Column) -> Column:
    """The broad field of a discipline: its first two digits."""
    return F.substring(code, 1, 2)


def is_stem(code: Column) -> Column:
    """Whether a discipline is STEM (broad fields 05, 06, 07)."""
    return broad_field(code).isin(*STEM_BROAD_FIELDS)
