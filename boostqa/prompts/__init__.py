"""Prompt templates: Markdown files by language, loaded as text with its sha256; `{{name}}` marks a value."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pyspark.sql import Column
from pyspark.sql import functions as F

from boostqa.languages import LANGUAGES, in_language
from boostqa.lookup import literal_map


@dataclass(frozen=True)
class Prompt:
    """A template in every language it exists in."""

    name: str
    texts: dict[str, str]

    @property
    def sha256(self) -> str:
        """Hash over all languages of the template."""
        joined = "\0".join(f"{lang}\0{self.texts[lang]}" for lang in sorted(self.texts))
        return hashlib.sha256(joined.encode()).hexdigest()

    def render(self, lang: Column, **values: Column) -> Column:
        """The prompt as a string column; Chinese rows get the Chinese text, every other language the English one."""
        return in_language(lang, self._fill("zh", values), self._fill("en", values))

    def _fill(self, lang: str, values: dict[str, Column]) -> Column:
        parts = re.split(r"\{\{(\w+)\}\}", self.texts[lang])
        if missing := set(parts[1::2]) ^ set(values):
            raise KeyError(f"prompt {self.name}.{lang}: names and values differ: {', '.join(sorted(missing))}")
        return F.concat(*(values[p] if i % 2 else F.lit(p) for i, p in enumerate(parts) if p))


def load(name: str) -> Prompt:
    """The template `name`, from `<name>.<language>.md` beside this module."""
    folder = Path(__file__).parent
    return Prompt(
        name, {lang: (folder / f"{name}.{lang}.md").read_text(encoding="utf-8").strip() for lang in LANGUAGES}
    )


def names() -> list[str]:
    """Names of all templates."""
    return sorted({file.name.split(".")[0] for file in Path(__file__).parent.glob("*.md")})


def terms(group: str) -> dict[str, dict[str, str]]:
    """The words for a vocabulary (`grade`, `format`, `lever`, `fields`, `answer_form`): language -> term -> words."""
    words = yaml.safe_load((Path(__file__).parent / "terms.yaml").read_text(encoding="utf-8"))
    return words[group]


def own_texts(lang: str) -> list[str]:
    """All that templates and terms say in a language, each text between two values by itself; without the examples, which
    are made of ordinary sentences."""

    def strings(value: Any) -> list[str]:
        return [text for part in value.values() for text in strings(part)] if isinstance(value, dict) else [str(value)]

    templates = [text for name in names() for text in re.split(r"\{\{\w+\}\}", load(name).texts[lang])]
    groups = yaml.safe_load((Path(__file__).parent / "terms.yaml").read_text(encoding="utf-8"))
    return templates + [text for name, group in groups.items() if name != "example" for text in strings(group[lang])]


def wording(group: str, term: Column, lang: Column) -> Column:
    """The words for `term` in the language of the row's prompt; null for a term the vocabulary lacks."""
    words = {key: literal_map(terms(group)[key]) for key in LANGUAGES}
    return in_language(lang, F.try_element_at(words["zh"], term), F.try_element_at(words["en"], term))
