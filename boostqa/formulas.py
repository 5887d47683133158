r"""Formulas in one spelling: LaTeX with its synonyms, Unicode, and plain text.

`\frac{5}{2}`, `\dfrac52` and `5/2` become one text, so do `x^{2}`, `x²` and `x^2`. What changes a formula stays: every
operator, sign, exponent, charge and bracket. This is no parser: groups nested deeper than `_DEPTH` and an author's own
macros stay as they are written.
"""

from collections.abc import Callable
from functools import cache

from pyspark.sql import Column
from pyspark.sql import functions as F

_DEPTH = 3
_LITERAL_OPEN, _LITERAL_CLOSE = "\ue000", "\ue001"  # braces that a reader sees
_OPEN, _CLOSE = "\ue002", "\ue003"  # a group, which becomes brackets unless it is one number or letter
_STYLE, _FRACTION, _OTHER = "\ue004", "\ue005", "\ue006"  # commands that take groups
# A symbol, then the LaTeX commands that spell it.
_SYMBOLS = f"""
α alpha;β beta;γ gamma;δ delta;ε epsilon varepsilon;ζ zeta;η eta;θ theta vartheta;ι iota;κ kappa;λ lambda;μ mu;ν nu;ξ xi
π pi varpi;ρ rho varrho;σ sigma varsigma;τ tau;υ upsilon;φ phi varphi;χ chi;ψ psi;ω omega;Γ Gamma;Δ Delta;Θ Theta
Λ Lambda;Ξ Xi;Π Pi;Σ Sigma;Υ Upsilon;Φ Phi;Ψ Psi;Ω Omega
≠ ne neq;≤ le leq leqslant;≥ ge geq geqslant;≪ ll;≫ gg;≈ approx;∼ sim;≃ simeq;≅ cong;≡ equiv;∝ propto;· cdot cdotp
· bullet;× times;/ div;± pm;∓ mp;* ast;⋆ star;∘ circ;° degree;⊕ oplus;⊗ otimes;∪ cup bigcup;∩ cap bigcap;∖ setminus
∅ emptyset varnothing;∈ in;∉ notin;∋ ni;⊂ subset;⊃ supset;⊆ subseteq;⊇ supseteq;∀ forall;∃ exists;¬ neg lnot;∧ wedge land
∨ vee lor;⊢ vdash;⊨ models;⇒ Rightarrow implies Longrightarrow;⇔ Leftrightarrow iff Longleftrightarrow;⇐ Leftarrow
→ to rightarrow longrightarrow;← leftarrow gets;↔ leftrightarrow;↦ mapsto;⇌ rightleftharpoons;↑ uparrow;↓ downarrow
∞ infty;∂ partial;∇ nabla;√ sqrt;∑ sum;∏ prod;∫ int;∬ iint;∮ oint;′ prime;∠ angle;△ triangle;⊥ perp;∥ parallel;ħ hbar
l ell;| mid vert lvert rvert;‖ | Vert lVert rVert;⟨ langle;⟩ rangle;⌊ lfloor;⌋ rfloor;⌈ lceil;⌉ rceil;∴ therefore
∵ because;% %;& &;# #;_ _;[ lbrack;] rbrack;{_LITERAL_OPEN} {{ lbrace;{_LITERAL_CLOSE} }} rbrace
{_STYLE} text textbf textit textrm texttt mathrm mathbf mathit mathsf mathtt mathbb mathcal mathfrak mathscr boldsymbol
{_STYLE} bm operatorname mbox hbox rm bf it boxed ensuremath emph underbrace begin end;{_FRACTION} frac dfrac tfrac cfrac
"""
_NOTHING = (
    "left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle limits "
    "nolimits hline ldots cdots dots dotsc dotsb vdots ddots $ !"
)
_BLANK = r"quad qquad enspace thinspace ( ) [ ] , ; : > \ "

_SUPER, _SUB = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₒₓₙᵢ"
_UNSCRIPTED = "0123456789+-=()ni0123456789+-=()aeoxni"
_SHORT = {
    "<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "<sup>": "^{", "<sub>": "_{", "</sup>": "}", "</sub>": "}",
    "½": " 1/2 ", "⅓": " 1/3 ", "⅔": " 2/3 ", "¼": " 1/4 ", "¾": " 3/4 ", "℃": "°C", "℉": "°F",
}  # fmt: skip
_LONGEST_SHORT = max(map(len, _SHORT))
_SINGLE = "".join(s for s in _SHORT if len(s) == 1)
_PIECE = rf"(?s)\\(?:[A-Za-z]+|.)|[{_SINGLE}]|[<>!]=|->|</?su[bp]>|[^\\<>!{_SINGLE}-]+|."
# What may be spelled in several ways; any other text need not go through all this.
MAY_BE_FORMULA = rf"\{{,\}}|[\\$^_*√×{_SINGLE}{_SUPER}{_SUB}]|[<>!]=|->|sqrt|</?su[bp]>"

_NUMBER = r"\p{Nd}+(?:\.\p{Nd}+)?"
_UNIT = rf"[-+]?(?:{_NUMBER}|\p{{L}})"
_ALONE = r"(?<![\p{L}\p{N}._])[\p{Nd}.]{1,20}"
_WRITTEN = (
    (r"(?<=\p{Nd})(?:\\,|\{,\}|,\\!)(?=\p{Nd}{3})", ","),  # thousands
    (r"\\not\s*(?:=|\\in\b)", r"\\ne "),
    (f"([{_SUPER}]+)", r"^{$1}"),
    (f"([{_SUB}]+)", r"_{$1}"),
)
_GROUPS = (
    (r"\{\s*\}", ""),
    (r"\^\s*\{\s*([∘°′']+)\s*\}", "^$1"),
    (rf"{_STYLE}\s*\{{([^{{}}]*)\}}", "$1"),
    (r"_\s*\{\s*(\p{Nd}+|\p{L})\s*\}(?=\s*\^)", "_$1"),
    (rf"\^\s*\{{\s*({_NUMBER})?([-+])\s*\}}", "$1$2 "),  # a charge: Fe^{3+}, Fe³⁺ and Fe3+
    (rf"([\^√{_OTHER}])\s*\{{\s*({_UNIT})\s*\}}|(_)\s*\{{\s*(\p{{L}}+|\p{{Nd}}+)\s*\}}", "$1$2$3$4 "),
    (
        rf"{_FRACTION}\s*(?:\{{([^{{}}]*)\}}|([\p{{L}}\p{{N}}]))\s*(?:\{{([^{{}}]*)\}}|([\p{{L}}\p{{N}}]))",
        f" {_OPEN}$1$2{_CLOSE}/{_OPEN}$3$4{_CLOSE} ",
    ),
    (rf"([\^_{_OTHER}]|√(?:\[[^\]]*\])?)\s*\{{([^{{}}]*)\}}", f"$1{_OPEN}$2{_CLOSE} "),
)
_NEEDLESS = (
    (rf"{_OPEN}\s*({_UNIT}|\p{{L}}+)\s*{_CLOSE}", "$1"),
    (rf"{_OTHER}(?=\s*[_^])", ""),
)
_PLAIN = (
    (r"\bsqrt\b", "√"),
    (rf"√\s*\(\s*({_UNIT})\s*\)", "√$1 "),
    (r"\^\s*(?=['′])", ""),
    (r"\^\s*[∘°]", "°"),
    (r"\^([-+])(?![\p{L}\p{N}])", "$1"),
    (r"(?<=[\p{L}\p{N})\]])_(?=[\p{L}\p{N}(])", ""),  # a subscript: a_1, a₁ and a1
    (r"(?<![*\w])(\*{1,3})(?=\S)([^*\n]+)(?<=\S)\1(?![*\w])", "$2"),  # emphasis of Markdown
    (r"(?<=[\w)\]])(?:\*\*| \*\* )(?=[\w(-])", "^"),
    # With a number there is one product only; of vectors there are two.
    (rf"(?<={_ALONE}\s?)[*×]|[*×](?=\s?\p{{Nd}}+(?![\p{{L}}\p{{N}}.(]))", "·"),
)


@cache
def _spellings() -> dict[str, str]:
    """Every command and short form with what stands for it."""
    entries = [entry.split(" ") for line in _SYMBOLS.strip().split("\n") for entry in line.split(";")]
    commands = (
        {name: symbol for symbol, *names in entries for name in names}
        | dict.fromkeys(("mod", "pmod", "bmod"), f" mod{_OTHER}")
        | dict.fromkeys(_NOTHING.split(" "), "")
        | dict.fromkeys(_BLANK.split(" "), " ")
    )
    return _SHORT | {f"\\{name}": symbol for name, symbol in commands.items()}


def let(value: Column, use: Callable[[Column], Column]) -> Column:
    """`use(value)` with `value` computed once: Spark computes a column again wherever an expression mentions it."""
    return F.transform(F.array(value), use)[0]


def where(text: Column, pattern: str, change: Callable[[Column], Column]) -> Column:
    """`change(text)` where `pattern` is found, else the text: most texts need no costly change."""
    return let(text, lambda t: F.when(t.rlike(pattern), change(t)).otherwise(t))


def _replaced(text: Column, replacements: tuple[tuple[str, str], ...]) -> Column:
    for pattern, replacement in replacements:
        text = F.regexp_replace(text, pattern, replacement)
    return text


def one_spelling(text: Column) -> Column:
    """Text with its formulas spelled in one way; costly, so for what matches MAY_BE_FORMULA only."""
    pairs = "\x1e".join(
        "\x1f".join(pair) for pair in _spellings().items()
    )  # one literal: a map of hundreds plans slowly
    spellings = F.str_to_map(F.lit(pairs), F.lit("\x1e"), F.lit("\x1f"))
    written = F.translate(_replaced(text, _WRITTEN), _SUPER + _SUB + "$", _UNSCRIPTED)

    def spelled(piece: Column) -> Column:
        unknown = F.when(piece.rlike(r"^\\[A-Za-z]"), F.concat(F.lit(" "), F.substring(piece, 2, 100), F.lit(_OTHER)))
        known = F.coalesce(F.element_at(spellings, piece), unknown, F.ltrim(piece, F.lit("\\")))
        return F.when(piece.startswith("\\") | (F.length(piece) <= _LONGEST_SHORT), known).otherwise(piece)

    pieces = F.regexp_extract_all(written, F.lit(_PIECE), F.lit(0))
    grouped = F.array_join(F.transform(pieces, spelled), "")
    for _ in range(_DEPTH):
        grouped = where(grouped, r"\{|" + _FRACTION, lambda t: _replaced(t, _GROUPS))
    left_over = {_LITERAL_OPEN: "{", _LITERAL_CLOSE: "}", _OPEN: "(", _CLOSE: ")", _OTHER: " "}
    plain = _replaced(F.translate(grouped, _STYLE, ""), _NEEDLESS)
    plain = F.translate(plain, "".join(left_over), "".join(left_over.values()))
    return _replaced(plain, _PLAIN)
