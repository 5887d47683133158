"""Texts of models and sources as they may be shown: what steers a terminal or turns the reading order is written out."""

_STEERING = (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_WRITTEN_OUT = {code: f"\\u{code:04x}" for code in _STEERING if chr(code) not in "\n\t"}


def visible(text: str) -> str:
    """The text with control characters, but for line ends and tabs, and those that turn the reading order as \\uXXXX."""
    return text.translate(_WRITTEN_OUT)


def cut(text: str, characters: int) -> str:
    """At most so many characters of a text, made visible, and how many are left out."""
    left = len(text) - characters
    return visible(text if left <= 0 else f"{text[:characters]} ... {left} characters more")
