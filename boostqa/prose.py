"""The prose in a text, and how much of it repeats: what is no prose counts as one word each.

Code, formulas, rows of tables, matrices and sums repeat by nature: a truth table, a zero matrix, a binary division. A
passage of that kind is replaced by a word made of its hash, so that the same one again and again still repeats.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from boostqa.formulas import let
from boostqa.matching_text import folded, grams

_REPEATED_WORDS, _REPEATED_CHARACTERS = 3, 6
_FEWEST_RUNS = 20  # below, a share says nothing: four runs that come again are a fifth of a short question
# A passage longer than this many characters is read as prose: a model that loops inside a formula fills pages.
_LONGEST = 2000
_LONGEST_LINE = 200
_MIDDLE = rf"[\s\S]{{1,{_LONGEST}}}?"
_CODE_OR_FORMULA = "|".join(
    (
        rf"(?m:^[ \t>]*(`{{3,}}|~{{3,}}){_MIDDLE}(?:^[ \t>]*\1[`~]*[ \t]*$|\z))",
        r"`[^`\n]+`",
        rf"\\begin\{{([A-Za-z]+\*?)\}}{_MIDDLE}\\end\{{\2\}}",
        rf"\$\${_MIDDLE}\$\$",
        rf"\\\[{_MIDDLE}\\\]",
        rf"\\\({_MIDDLE}\\\)",
        r"\$(?![\s$])[^$]{0,500}?(?<![\s\\])\$(?!\d)",
    )
)
_TABLE_ROW, _RULER = r"^\s*\|.*\|\s*$|\t[^\t]*\t", r"^[\s|:=_+-]*$"
_TRUTH_VALUES = r"(?i)\b(?:true|false|yes|no)\b|[真假是否]"
_WORD = r"\p{L}{2}|\p{IsHan}"
_BEGIN, _END = "\x01", "\x02"  # around a line of figures
_OF_FIGURES = r"[\d ,.;:()\[\]{}|+*/=<>^_-]"
# A block of lines of figures, as `_marked` joins them, and figures inside a line: [[0, 1], [1, 0]].
_FIGURES = (
    rf"(?<!{_END}){_BEGIN}[^\n]{{1,{_LONGEST}}}{_END}(?!{_BEGIN})"
    rf"|(?<!{_OF_FIGURES}){_OF_FIGURES}{{40,400}}(?!{_OF_FIGURES})"
)


def _one_word_each(text: Column, pattern: str) -> Column:
    """`text` with what matches `pattern` replaced by one to three letters of its hash."""
    found = F.regexp_extract_all(text, F.lit(pattern), F.lit(0))
    digits = F.transform(found, lambda passage: F.hex(F.pmod(F.xxhash64(passage), F.lit(4096))))
    words = F.transform(digits, lambda d: F.concat(F.lit(" "), F.translate(d, "0123456789ABCDEF", "ghijklmnopqrstuv")))
    between = F.split(text, pattern, -1)
    joined = F.zip_with(between, words, lambda rest, word: F.concat(rest, F.coalesce(word, F.lit("")), F.lit(" ")))
    return F.when(F.size(found) > 0, F.array_join(joined, "")).otherwise(text)


def _marked(text: Column) -> Column:
    """`text` with rows of tables, matrices and sums marked; those without words lose their line end: a block of them is
    one line."""

    def with_bare(line: Column) -> Column:
        return F.struct(line.alias("line"), F.regexp_replace(line, _TRUTH_VALUES, "T").alias("bare"))

    def marked(both: Column) -> Column:
        line, bare = both["line"], both["bare"]
        said, visible = (F.length(F.regexp_replace(bare, p, "")) for p in (r"[^\p{L}\p{N}]+", r"\s+"))
        row, ruler = line.rlike(_TABLE_ROW), line.rlike(_RULER)
        figures = ~bare.rlike(_WORD) & (row | ruler | (said * 3 >= visible))  # a third of it letters and digits
        short = line.rlike(r"\S") & (F.length(line) <= _LONGEST_LINE)
        passage, line_end = F.concat(F.lit(_BEGIN), line, F.lit(_END)), F.lit("\n")
        ended = F.when(short & row, F.concat(passage, line_end)).otherwise(F.concat(line, line_end))
        return F.when(short & figures, passage).otherwise(ended)

    return F.array_join(F.transform(F.transform(F.split(text, "\n"), with_bare), marked), "")


def words_for_passages(text: Column) -> Column:
    """`text` with a word of its own for each formula, piece of code, row of a table, and block of lines of figures."""
    words = F.array(text)  # a step a lambda, in which the text so far is a variable: Spark would compute it again
    words = F.transform(words, lambda t: _one_word_each(t, _CODE_OR_FORMULA))
    words = F.transform(words, _marked)
    words = F.transform(words, lambda t: _one_word_each(t, _FIGURES))
    return F.translate(words[0], _BEGIN + _END, " \n")


def repeated_share(text: Column) -> Column:
    """Share (0..1) of the runs of 3 words (6 characters in Chinese and Japanese) that repeat an earlier one; null where
    there are fewer than 20 runs of prose."""

    def share(runs: Column) -> Column:
        return F.when(F.size(runs) >= _FEWEST_RUNS, 1 - F.size(F.array_distinct(runs)) / F.size(runs))

    return let(grams(folded(words_for_passages(text)), _REPEATED_WORDS, _REPEATED_CHARACTERS), share)
