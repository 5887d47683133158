"""A plain formula -> its tokens, or Unclear: no character is left out."""

import re

from udfs.answers.numbers import Unclear

MAX_CHARACTERS = 300
_PROGRAM_NUMBER = re.compile(r"(?<![\w.])0[xXbBoO][0-9a-fA-F]")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?=\.?\d)(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)?(?:\.\d*\\(?:overline|bar|dot)\s*\{\d+\}|\.\d+)?"
    r"(?:(?<=\d)[eE][-+]?\d+(?![\dA-Za-z.]))?)"
    r"|(?P<command>\\[A-Za-z]+)|(?P<word>[A-Za-z]+|[α-ωΑ-Ω])|(?P<mark>[-+*/^_!|(){}\[\]]))"
)

GREEK = {
    *("alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa"),
    *("lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi", "chi", "psi", "omega", "hbar", "ell"),
    *("Gamma", "Delta", "Theta", "Lambda", "Xi", "Sigma", "Phi", "Psi", "Omega"),
}


def tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) of each token; kinds are number, command, word and mark. Raises Unclear for any other character."""
    if len(text) > MAX_CHARACTERS or _PROGRAM_NUMBER.search(text):
        raise Unclear("too long, or a number of a program")
    text, found, at = text.rstrip(), [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None or not match[match.lastgroup]:
            raise Unclear(f"{text[at : at + 10]} is not read")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found
