"""A reasoning model's text, parted into thinking and answer."""

import re

THINK_START, THINK_END = "<think>", "</think>"
_END_ON_ITS_LINE = re.compile(rf"^[ \t]*{THINK_END}[ \t]*$", re.MULTILINE)


def split_thinking(text: str, opened: bool = False) -> tuple[str, str]:
    """(thinking, answer); all of it is thinking where the model was cut off before it closed the section.

    Thinking stands at the beginning and ends with the first </think>. Where it was `opened` before the text (by the prompt,
    as templates of reasoning models do), or is opened by it, that is the first one anywhere; where nothing says so, one
    that has a line of its own. A </think> that an answer speaks of is none.
    """
    inside = opened or text.lstrip().startswith(THINK_START)
    if inside:
        thinking, _, answer = text.partition(THINK_END)
        return thinking, answer
    if end := _END_ON_ITS_LINE.search(text):
        return text[: end.start()], text[end.end() :]
    return "", text
