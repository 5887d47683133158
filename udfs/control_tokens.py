"""Control tokens of a tokenizer: strings in a text that it would encode as a marker (of a turn, a file, the end).

What follows from the tokenizer.json alone; `boostqa/control_tokens.py` escapes them in columns. Does not know the
tokenizers of models that only answer requests.
"""

import json
import re
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
    found = {token["id"]: token["content"] for token in added if token.get("special") or _is_markup(token["content"])}
    return {i: found[i] for i in sorted(found) if len(found[i].strip()) > 1 and SEPARATOR not in found[i]}


def _is_markup(text: str) -> bool:
    markup = _MARKUP.fullmatch(text)
    return markup is not None and (markup["element"] or "").lower() not in _HTML_ELEMENTS.split()
