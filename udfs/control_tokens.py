"""Control tokens of a tokenizer: strings in a text that it would encode as a marker (of a turn, a file, the end).

What is exported is escaped for the target's tokenizer, in columns (`boostqa/control_tokens.py`). What is asked is escaped
by the engines, whole prompts with all that they quote: by the tokenizer of the model, or, where a server holds that, by
CHAT_MARKUP.
"""

import json
import re
from collections.abc import Iterable
from functools import lru_cache

# U+2060, WORD JOINER, behind the first character of a control token: a reader sees the text as it was, Unicode
# normalisation (NFC, NFKC) and trimming keep it, no line breaks at it. A zero-width space would not pass `normalise`.
SEPARATOR = "\u2060"
# Added tokens that are not `special` are control tokens, too, where they look like markup (<think>, <|fim_middle|>,
# [INST]) that is no element of HTML (WHATWG's living standard and its obsolete elements): Gemma's vocabulary has
# <table> and <strong>, which stand for nothing but themselves.
_MARKUP = re.compile(r"</?(?P<element>[A-Za-z][A-Za-z0-9]*)>|<<?[^<>\s]+>>?|\[[^\[\]\s]+\]")
_HTML_ELEMENTS = (
    "a abbr acronym address applet area article aside audio b base bdi bdo big blink blockquote body br button canvas "
    "caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset "
    "figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img "
    "input ins kbd label legend li link main map mark marquee math menu meta meter nav noframes noscript object ol "
    "optgroup option output p param picture pre progress q rp rt ruby s samp script search section select slot small "
    "source span strike strong style sub summary sup svg table tbody td template textarea tfoot th thead time title "
    "tr track tt u ul var video wbr"
)


@lru_cache(maxsize=2)
def control_tokens(tokenizer_json: str) -> dict[int, str]:
    """Token id -> text of the control tokens in a tokenizer.json (its content), by id.

    These are the added tokens that are `special` or markup; single characters (which no separator can part) and
    tokens of spaces are none.
    """
    added = json.loads(tokenizer_json).get("added_tokens") or []
    found = {t["id"]: t["content"] for t in added if is_control(t["content"], t.get("special", False))}
    return {i: found[i] for i in sorted(found)}


def is_control(token: str, special: bool) -> bool:
    """Whether an added token is one."""
    if len(token.strip()) < 2 or SEPARATOR in token:
        return False
    markup = _MARKUP.fullmatch(token)
    return special or (markup is not None and (markup["element"] or "").lower() not in _HTML_ELEMENTS.split())


# What models of unknown tokenizers use: <|im_end|>, <｜User｜>, <start_of_turn>, <tool_call>, </s>, <think>, <<SYS>>,
# [INST], [SYSTEM_PROMPT], [gMASK]. It matches the first character.
CHAT_MARKUP = re.compile(
    r"<(?=[|｜][^<>\s]{1,60}[|｜]>|/?[A-Za-z]{1,20}(?:_[A-Za-z0-9]{1,20}){1,5}>|</?SYS>>"
    r"|/?(?:s|bos|eos|pad|unk|mask|cls|sep|sop|eop|think|unused\d{1,4})>)|\[(?=/?g?[A-Z][A-Z_]{1,30}\])"
)


def markup(tokens: Iterable[str]) -> re.Pattern[str]:
    """A pattern that matches the first character of each of `tokens`, as CHAT_MARKUP does."""
    return re.compile("|".join(f"{re.escape(t[0])}(?={re.escape(t[1:])})" for t in sorted(tokens)) or r"(?!)")


def as_text(prompt: str, markup: re.Pattern[str]) -> str:
    """A prompt in which no markup is left: SEPARATOR stands behind the first character of each."""
    return markup.sub(rf"\g<0>{SEPARATOR}", prompt)
