"""The language that a tag or a name means: BCP 47, ISO 639 in any part, POSIX locales, names in any language."""

import re
from functools import lru_cache

import langcodes
import pandas as pd

_NO_LANGUAGE = {"und", "mul", "mis", "zxx"}
# ISO 639-3 codes too (Enawene Nawe, Min Nan), but without a script behind them what tools write for a missing value.
_MISSING = {"unk", "nan"}


@lru_cache(maxsize=4096)
def language(tag: str) -> str | None:
    """`eng`, `eng_Latn`, `en-GB`, `English` -> `en`; null where the tag names no single known language.

    The ISO 639-1 code, of the macrolanguage where only that has one (`cmn` -> `zh`), else the ISO 639-3 code (`yue`).
    """
    written = re.sub(r"[.@].*", "", tag).strip(" \t\r\n[]\"'")  # a list of one; the encoding of a locale
    if written.lower() in _MISSING:
        return None
    try:
        found = langcodes.Language.get(written)
    except langcodes.LanguageTagError:
        try:
            found = langcodes.find(written)
        except (LookupError, UnicodeError):  # the latter of a name with a NUL
            return None
    subtag = re.split("[-_]", written.lower())[0]
    for code in (found.language, subtag, found.prefer_macrolanguage().language):  # CLDR would turn `tl` into `fil`
        if code and len(code) == 2 and langcodes.tag_is_valid(code):
            return code
    known = found.is_valid() and re.fullmatch("[a-z]{3}", found.language or "")
    return found.language if known and found.language not in _NO_LANGUAGE else None


def languages(tags: pd.Series) -> pd.Series:
    """`language` of each tag; null stays null."""
    return tags.map(lambda tag: None if tag is None else language(tag))
