"""A source of records or items, wherever the conf lists some."""

from typing import Literal, Self

from pydantic import field_validator, model_validator

from boostqa.config.base import PlaceText, Positive, Section
from boostqa.config.location import location
from boostqa.vocabulary import Kind
from udfs import licences
from udfs.language_tags import language


def language_tag(tag: str) -> str:
    """The tag that the line knows a language by. Raises ValueError for what names none."""
    known = language(tag)
    if known is None:
        raise ValueError(f"{tag!r} names no language: write an ISO 639 code such as en or zh")
    return known


def spdx_licence(text: str) -> str:
    """A licence in SPDX's spelling. Raises ValueError for what is none."""
    known = licences.canonical(text)
    if known is None:
        raise ValueError(
            f"{text!r} is no SPDX licence (spdx.org/licenses): write an identifier such as CC-BY-4.0, or, for a licence "
            f"that SPDX does not list, {licences.reference(text)}"
        )
    return known


class Source(Section):
    """A seed corpus, a benchmark or a file of probe items; `fields` maps our names to (dotted) names in the input. `path` of
    format table is `catalog.schema.table`.

    `answers` declares how answers to questions with options are meant (label or letter, the option's text, index from 0
    or 1) where they do not show it themselves.
    """

    name: str
    path: PlaceText
    format: Literal["jsonl", "parquet", "delta", "table", "text"] = "jsonl"
    kind: Kind = Kind.DOCUMENT
    fields: dict[str, str] = {}
    licence: str | None = None
    attribution: str | None = None
    lang: str | None = None
    answers: Literal["label", "text", "index0", "index1"] | None = None
    limit: Positive | None = None

    @field_validator("lang")
    @classmethod
    def _lang_is_known(cls, tag: str | None) -> str | None:
        return None if tag is None else language_tag(tag)

    @field_validator("licence")
    @classmethod
    def _licence_is_known(cls, text: str | None) -> str | None:
        return None if text is None else spdx_licence(text)

    @model_validator(mode="after")
    def _table_is_in_a_catalog(self) -> Self:
        if self.format == "table" and not location(self.path, (3,)).names:
            raise ValueError(
                f"path: {self.path!r} is a folder or URI, and format table takes catalog.schema.table: say format: delta"
            )
        return self
