"""Licences as SPDX writes them: which of the licences on a list a record may be used under.

Identifiers match whatever their case, with spaces for hyphens, and with the word "License" behind them; deprecated ones
mean their successors. A licence that SPDX does not list is `LicenseRef-NAME`.
"""

import json
import re
from functools import lru_cache
from itertools import chain

import license_expression as spdx
import pandas as pd

REFERENCE = "LicenseRef-"
_OPERATOR = re.compile(r"(\(|\)|\b(?:AND|OR|WITH)\b)", re.IGNORECASE)


def _folded(name: str) -> str:
    words = [word for word in name.split() if word.lower() not in ("the", "license", "licence")]
    return "-".join(words).casefold()


@lru_cache(maxsize=1)
def _known() -> dict[str, str]:
    """Folded identifiers, and the deprecated ones, to the identifiers of the SPDX list."""
    symbols = spdx.get_spdx_licensing().known_symbols.values()
    names = chain.from_iterable(((alias, s.key) for alias in s.aliases) for s in symbols)
    return {_folded(name): key for name, key in names} | {_folded(s.key): s.key for s in symbols}


def reference(name: str) -> str:
    """How SPDX writes a licence that it does not list."""
    stripped = re.sub(f"^{REFERENCE}", "", name.strip(), flags=re.IGNORECASE)
    return REFERENCE + re.sub(r"[^A-Za-z0-9.-]+", "-", stripped).strip("-")


def _identifier(name: str) -> str:
    """The SPDX identifier of one licence. `X+` is X where SPDX has no other word for it: a later version is a choice."""
    folded = _folded(name)
    return _known().get(folded) or _known().get(folded.removesuffix("+")) or reference(name)


@lru_cache(maxsize=65536)
def _parsed(text: str) -> spdx.LicenseExpression | None:
    """The expression of a text; a list (JSON, or with commas) means that all its licences hold. None where it cannot be read."""
    if text.lstrip().startswith("["):
        try:
            text = " AND ".join(f"({licence})" for licence in json.loads(text) if licence)
        except (ValueError, RecursionError):
            return None
    elif "," in text and _folded(text) not in _known():
        text = " AND ".join(f"({licence})" for licence in text.split(",") if licence.strip())
    parts = [text] if _folded(text) in _known() else _OPERATOR.split(text)
    words = [p.upper() if _OPERATOR.fullmatch(p) else _identifier(p) for p in parts if p.strip()]
    try:
        return spdx.get_spdx_licensing().parse(" ".join(words))
    except (spdx.ExpressionError, spdx.ParseError):
        return None


def canonical(text: str) -> str | None:
    """An expression in SPDX's own spelling; None where it cannot be read or names a licence that is neither on SPDX's
    list nor written `LicenseRef-NAME`."""
    expression = _parsed(text)
    if expression is None:
        return None
    unlisted = [key for key in spdx.get_spdx_licensing().unknown_license_keys(expression) if key.startswith(REFERENCE)]
    return None if any(key.casefold() not in text.casefold() for key in unlisted) else expression.render()


def is_joined(text: str) -> bool:
    """Whether a text is an expression of several licences."""
    return len(getattr(_parsed(text), "args", ())) > 1


def _taken(expression: spdx.LicenseExpression, allowed: tuple[str, ...]) -> set[str] | None:
    """The licences of `allowed` that together permit the use; None where they do not."""
    if isinstance(expression, spdx.LicenseWithExceptionSymbol | spdx.LicenseSymbol):
        name = expression.render()
        # "or later" lets the user choose the version itself.
        fits = (a for a in allowed if a.casefold() in (name.casefold(), re.sub("-or-later$", "-only", name).casefold()))
        found = next(fits, None)
        return None if found is None else {found}
    parts = [_taken(part, allowed) for part in expression.args]
    if expression.operator.strip() == "OR":
        permitted = [part for part in parts if part is not None]
        return min(permitted, key=lambda part: [allowed.index(name) for name in sorted(part)], default=None)
    return None if any(part is None for part in parts) else set(chain.from_iterable(part for part in parts if part))


@lru_cache(maxsize=65536)
def used(text: str, allowed: tuple[str, ...]) -> str | None:
    """The licences a record with the licence `text` is used under, joined by " AND "; None where it may not be used.

    Of `A OR B` the one that comes first in `allowed` (as `canonical` writes them), of `A AND B` or a list all.
    """
    expression = _parsed(text)
    taken = None if expression is None else _taken(expression, allowed)
    return None if taken is None else " AND ".join(sorted(taken))


def licences_used(texts: pd.Series, allowed: tuple[str, ...]) -> pd.Series:
    """`used` of each text; null stays null."""
    return texts.map(lambda text: None if text is None else used(text, allowed))


# What is made from a work of these may go out under: families by Creative Commons' and the Open Definition's charts
# (creativecommons.org/share-your-work/licensing-considerations/compatible-licenses, opendefinition.org/licenses).
_NO_TERMS = frozenset({"CC0-1.0", "Unlicense", "PDDL-1.0", "0BSD", "MIT-0", "WTFPL", "CC-PDDC"})
_NAME_ONLY = re.compile(
    r"^(MIT|Apache|BSD|ISC|Zlib|BSL-1|CC-BY-\d|ODC-By|CDLA-Permissive|OGL-UK|etalab|NCSA|PSF|Python)"
)
_SHARE_ALIKE = re.compile(r"^(CC-BY(?:-NC)?-SA|ODbL|GFDL|[AL]?GPL|MPL|EPL|OSL)-(\d+\.\d+)")


def _conflict(licence: str, into: str) -> str | None:
    if licence == into or licence in _NO_TERMS:
        return None
    if re.match(r"CC-BY(-NC)?-ND", licence):
        return "permits nothing that is made from it"
    if alike := _SHARE_ALIKE.match(licence):
        same = _SHARE_ALIKE.match(into)
        later = same and same[1] == alike[1] and [*map(int, same[2].split("."))] >= [*map(int, alike[2].split("."))]
        return None if later and "-only" not in licence else "wants its own licence for what is made from it"
    if licence.startswith("CC-BY-NC-"):
        return None if into.startswith("CC-BY-NC-") else "permits no commercial use"
    if _NAME_ONLY.match(licence):
        return "wants its authors named" if into in _NO_TERMS else None
    return "is not known to permit it"


@lru_cache(maxsize=65536)
def conflict(text: str, into: str) -> str | None:
    """Why what was made under all licences of `text` ("A AND B") may not go out under `into`, in words; None where it may."""
    found = ((name, _conflict(name, into)) for name in text.split(" AND "))
    return next((f"{name} {why}" for name, why in found if why), None)


def conflicts(texts: pd.Series, into: str) -> pd.Series:
    """`conflict` of each text; null stays null."""
    return texts.map(lambda text: None if text is None else conflict(text, into))
