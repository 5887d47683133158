"""A reasoning model's text, parted into thinking and answer."""

THINK_START, THINK_END = "<think>", "</think>"


def split_thinking(text: str) -> tuple[str, str]:
    """(thinking, answer); all of it is thinking where the model was cut off before it closed the section."""
    thinking, closed, answer = text.rpartition(THINK_END)
    if not closed and text.lstrip().startswith(THINK_START):
        return text, ""
    return thinking, answer
