"""What all writers of an export are told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Export:
    """Where an export goes and what it consists of; the tokenizer (content of tokenizer.json) and the token that ends a text
    are for formats of token ids, null without one."""

    folder: str
    formats: tuple[str, ...]
    shards: int
    tokenizer_json: str | None = None
    end_of_text: str | None = None
