"""How questions, options and answers are put into words, and which form a reply takes: the same in every stage."""

import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F

from boostqa.languages import in_language
from boostqa.vocabulary import Format
from udfs.rendering import ITEM, RENDERED, render, together

# The letter of an option: "A. ", "(A) ", "A) ", "A、"; inside a question it stands after a space, a line end or a stop.
_AFTER = r"\s*[.)）\]】、．:：]\s*"
_LABEL = rf"^\s*[(（\[【]?([A-Ja-j]){_AFTER}"
_LABEL_INSIDE = rf"(?:(?<=[\s.。；;,，?？!！)）])|^)[(（\[【]?[A-J]{_AFTER}"
# An option by its letter: "option A", "(B)", "B is"; an A may be an article or a quantity's name only where it says so.
_NAMES_OPTION = (
    r"(?i:\b(?:options?|choices?|answers?)\b|选项|答案)(?:\s+is|[是为])?[\s:：(（]*[A-D](?![\p{L}\p{N}])"
    r"|[(（][A-D][)）]|(?<![\p{L}\p{N}\\$_^°])(?:[B-D]|A(?=\W*(?i:is|was|and|or|because|since)\b))(?![\p{L}\p{N}'’])"
)
_OPTIONS_INSIDE = "(?s)" + ".+?".join(_LABEL_INSIDE.replace("[A-J]", letter) for letter in "ABC")


def lettered(choices: Column) -> Column:
    """array<string>: the options as "A. ...", "B. ..."; null for an open item."""
    return F.transform(choices, lambda option, i: F.concat(F.char(F.lit(ord("A")) + i), F.lit(". "), option))


def bare_options(choices: Column) -> Column:
    """The options without the letters that a source wrote before them ("A. four", "(b) five"), where each has its own;
    else as they are."""
    own = F.transform(
        choices, lambda option, i: F.upper(F.regexp_extract(option, _LABEL, 1)) == F.char(F.lit(ord("A")) + i)
    )
    bare = F.transform(choices, lambda option: F.regexp_replace(option, _LABEL, ""))
    return F.when((F.size(choices) > 1) & F.forall(own, lambda is_own: is_own), bare).otherwise(choices)


def separated(question: Column, choices: Column) -> Column:
    """struct(question, choices): the options bare, and out of the question where they stand in it ("... A. four B. five
    C. six") and the item has no others."""
    inside = (F.size(F.coalesce(choices, F.array())) == 0) & question.rlike(_OPTIONS_INSIDE)
    parts = F.split(question, _LABEL_INSIDE)
    options = F.transform(F.slice(parts, 2, F.size(parts)), lambda option: F.trim(option))
    return F.struct(
        F.when(inside, parts[0]).otherwise(question).alias("question"),
        F.when(inside, options).otherwise(bare_options(choices)).alias("choices"),
    )


def without_letters(text: Column) -> Column:
    """Text in which options stand after letters, without the letters; any other text as it is."""
    return F.when(text.rlike(_OPTIONS_INSIDE), F.regexp_replace(text, _LABEL_INSIDE, " ")).otherwise(text)


def items_inside(text: Column) -> Column:
    """array<struct(question, choices)>: the multiple-choice items in a text, one for each option A that B and C follow.

    A question is all that stands before its options, so its end is certain and its beginning is not. The last option
    ends with its line, or with its sentence: an item for each.
    """

    def item(before: Column, after: Column, end: str) -> Column:
        letters = F.regexp_extract_all(after, F.lit(_LABEL_INSIDE.replace("[A-J]", "([A-J])")), F.lit(1))
        in_order = F.size(F.filter(letters, lambda letter, i: letter == F.char(F.lit(ord("B")) + i)))
        options = F.slice(F.split(after, _LABEL_INSIDE), F.lit(1), in_order + 1)  # no "Answer: B." behind them
        last = F.regexp_extract(F.element_at(options, -1), end, 0)
        choices = F.concat(F.slice(options, F.lit(1), in_order), F.array(last))
        return F.struct(before.alias("question"), choices.alias("choices"))

    parts = F.split(text, _LABEL_INSIDE.replace("[A-J]", "A"))
    pairs = F.zip_with(
        F.slice(parts, 1, F.size(parts) - 1), F.slice(parts, 2, F.size(parts)), lambda b, a: F.array(b, a)
    )
    ends = (r"^[^\n]*", r"^.*?(?=[.!?](?:\s|$)|[。；！？\n]|$)")
    both = F.transform(pairs, lambda pair: F.array(*(item(pair[0], pair[1], end) for end in ends)))
    items = F.filter(F.flatten(both), lambda one: F.size(one["choices"]) > 2)
    return F.when(text.rlike(_OPTIONS_INSIDE), items)


def question_with_options(question: Column, choices: Column) -> Column:
    """The question, then its options a line each."""
    return F.concat_ws("\n", question, lettered(choices))


def names_option(texts: Column) -> Column:
    """Whether one of `texts` (array, nulls left out) speaks of an option by its letter."""
    return F.exists(F.array_compact(texts), lambda text: text.rlike(_NAMES_OPTION))


def turned(choices: Column, by: Column) -> Column:
    """The options, the first `by` of them moved behind the others."""
    return F.concat(F.slice(choices, by + 1, F.size(choices)), F.slice(choices, F.lit(1), by))


def letter_before_turn(letter: Column, choices: Column, by: Column) -> Column:
    """The letter in `choices` of what `letter` names in `turned(choices, by)`; any other answer as it is."""
    place = F.ascii(letter) - ord("A")
    named = (F.length(letter) == 1) & (place >= 0) & (place < F.size(choices))
    return F.when(named, F.char(ord("A") + F.pmod(place + by, F.size(choices)))).otherwise(letter)


def reordered(choices: Column, answer: Column, texts: Column, key: Column) -> Column:
    """struct(choices, answer): options and the letter of the right one, in an order drawn by `key`; as they are where
    there are none, `texts` (array) or an option name one of them by its letter, or the letter names none.

    Models write the right option first, or last, far more often than by chance.
    """
    named = names_option(F.concat(texts, choices))
    place = F.ascii(answer) - ord("A")  # -65 of an empty answer

    def lot(option: Column, i: Column) -> Column:
        return F.struct(F.sha2(F.concat(key, option), 256).alias("lot"), i.alias("i"), option.alias("option"))

    drawn = F.array_sort(F.transform(choices, lot))
    places, options = F.transform(drawn, lambda one: one["i"]), F.transform(drawn, lambda one: one["option"])
    letter = F.char(F.lit(ord("A") - 1) + F.array_position(places, place))
    usable = (F.length(answer) == 1) & F.array_contains(places, place) & ~named
    redrawn = F.struct(options.alias("choices"), letter.alias("answer"))
    return F.when(usable, redrawn).otherwise(F.struct(choices.alias("choices"), answer.alias("answer")))


def is_multiple_choice() -> Column:
    """Whether a row's format has options."""
    return F.col("format") == Format.MULTIPLE_CHOICE


def answer_shape() -> Column:
    """`multiple_choice` or `open`: what the answer of a row's format looks like, as terms.yaml names it."""
    return F.when(is_multiple_choice(), "multiple_choice").otherwise("open")


def answer_line(lang: Column, answer: Column) -> Column:
    """ "Answer: ..." in the language of the row; null without an answer."""
    return F.concat(in_language(lang, "答案：", "Answer: "), answer)


def rendered(tokenizer_json: str) -> Column:
    """struct(layout, text, tokens, spans, control_tokens) of a row of an item, as udfs/rendering.py tells them: its text in
    the mix, under a tokenizer (the content of tokenizer.json)."""

    @F.pandas_udf(RENDERED)  # type: ignore[call-overload]
    def one(items: pd.DataFrame) -> pd.DataFrame:
        return render(items, tokenizer_json)

    return one(F.struct(*ITEM))


def in_one_document(tokenizer_json: str, layouts: Column, texts: Column, spans: Column) -> Column:
    """As `rendered`, of several rendered items as one document."""

    @F.pandas_udf(RENDERED)  # type: ignore[call-overload]
    def one(documents: pd.DataFrame) -> pd.DataFrame:
        return together(documents, tokenizer_json)

    return one(F.struct(layouts.alias("layouts"), texts.alias("texts"), spans.alias("spans")))
