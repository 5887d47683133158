"""Whether a text has the form that was asked for, and the part of it that has: for servers that constrain nothing."""

import json
import re
from typing import Any

_TAG = re.compile(r"<(\w+)>")


def fitted(text: str, structured: dict[str, Any] | None) -> str | None:
    """`text` where it fits the constraint (EngineRequest.structured), or the part of it that does: a choice without its
    quotes or inside a sentence, JSON in a fence or after one, the span between first and last tag; None where none does."""
    if not structured:
        return text
    if "choice" in structured:
        return _choice(text, structured["choice"])
    if "json" in structured:
        return _json(text)
    return _tagged(text, structured["grammar"]) if "grammar" in structured else text


def _choice(text: str, choices: list[str]) -> str | None:
    if text in choices:
        return text
    named = {
        c
        for c in choices
        if re.search(rf"(?<!\w){re.escape(c.strip())}(?!\w)", text, re.IGNORECASE if len(c) > 1 else 0)  # "a" is no "A"
    }
    longest = {c for c in named if not any(c != other and c in other for other in named)}
    return longest.pop() if len(longest) == 1 else None


def _json(text: str) -> str | None:
    for start in re.finditer(r"[\[{]", text):
        try:
            _, end = json.JSONDecoder().raw_decode(text, start.start())
        except ValueError:
            continue
        return text[start.start() : end]
    return None


def _tagged(text: str, grammar: str) -> str | None:
    """The tags are those of the grammar's text, in which `<` begins nothing else."""
    tags = list(dict.fromkeys(_TAG.findall(grammar)))
    if not tags or any(f"</{tag}>" not in text for tag in tags):
        return None
    begin, last = text.find(f"<{tags[0]}>"), text.rfind(f"</{tags[-1]}>")
    return text[begin : last + len(f"</{tags[-1]}>")] if 0 <= begin < last else None
