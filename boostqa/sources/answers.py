"""The options and answers of multiple-choice questions as texts and letters, read in one way for a whole source.

An answer `1` may mean the second option, the first, or the option "1": no row tells alone. A form counts that reads
every answer of the source which can be read at all; where that is not one form, the conf has to declare it. Seeds,
probe items and benchmarks are read alike.
"""

from itertools import combinations

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from boostqa.config import Source
from boostqa.errors import ConfigError
from boostqa.stages.wording import bare_options
from udfs import options as options_udfs

# Shape of an answer -> the forms in which it may be meant (udfs/options.py, READINGS).
_FORMS = {"letter": ("label", "text"), "number": ("label", "text", "index0", "index1")}
# Taken before other forms that read all answers too: labels are the record's own, and numbers that always stand among
# the options are no indexes.
_PREFERRED = {"letter": (), "number": ("label", "text")}
_SHOWN = 200  # characters of bad options that are kept
_DECLARED: dict[str, dict[str, tuple[str, ...]]] = {
    "label": {"letter": ("label",), "number": ("label",)},
    "text": {"letter": ("text",), "number": ("text",)},
    "index0": {"letter": ("label",), "number": ("index0",)},
    "index1": {"letter": ("label",), "number": ("index1",)},
}


def with_options(rows: DataFrame) -> DataFrame:
    """Rows [raw, choices as JSON text, ...] with `choices` as texts (null: open question) and `labels`; `raw` says what
    is wrong with choices that are none."""
    parse = F.pandas_udf(options_udfs.options, options_udfs.OPTIONS)  # type: ignore[call-overload]
    parsed = rows.withColumn("parsed", parse("choices"))
    fault = F.concat(F.lit("choices: "), "parsed.fault", F.lit("; got "), F.left("choices", F.lit(_SHOWN)))
    options = F.transform("parsed.options", lambda option: F.coalesce(option, F.lit("")))  # none is null: for the type
    columns = {"raw": F.coalesce("raw", fault), "choices": bare_options(options), "labels": F.col("parsed.labels")}
    return parsed.withColumns(columns).drop("parsed")


def with_answers(rows: DataFrame, source: Source, where: str) -> DataFrame:
    """Rows [file, line, choices, labels, answer, ...] with `answer` as option letters, and `unread_answer`.

    Letters of several options stand together ("AC"). An answer that means no option goes to `unread_answer`; answers
    of open questions stay. Raises ConfigError when the source's answers can be meant in several ways.
    """
    read = F.pandas_udf(options_udfs.readings, options_udfs.READINGS)  # type: ignore[call-overload]
    rows = rows.withColumn("readings", read("answer", "choices", "labels"))
    forms = _DECLARED[source.answers] if source.answers else _inferred(rows, where)
    shape = F.col("readings.shape")
    letters = F.when(shape == "text", F.col("readings.text"))
    for name, fields in forms.items():
        letters = letters.when(shape == name, F.coalesce(*(F.col(f"readings.{field}") for field in fields)))
    return rows.withColumns(
        {
            "answer": F.when(shape.isNull(), F.col("answer")).otherwise(letters),
            "unread_answer": F.when(shape.isNotNull() & letters.isNull(), F.col("answer")),
        }
    ).drop("readings", "labels")


def _inferred(rows: DataFrame, where: str) -> dict[str, tuple[str, ...]]:
    """The forms of each shape, tried in order, from one pass over all rows."""
    example = F.struct("file", "line", "answer", F.size("choices").alias("options"), "readings")
    examples: dict[str, Column] = {}
    for shape, forms in _FORMS.items():
        reading = {form: F.col(f"readings.{form}") for form in forms}
        readable = (F.col("readings.shape") == shape) & F.coalesce(*reading.values()).isNotNull()
        missed = {form: readable & reading[form].isNull() for form in forms}
        differing = {f"{a} {b}": readable & (reading[a] != reading[b]) for a, b in combinations(forms, 2)}
        found = missed | differing
        examples |= {f"{shape} {name}": F.min(F.when(condition, example)) for name, condition in found.items()}
    first = rows.agg(*(column.alias(name) for name, column in examples.items())).first()
    assert first is not None
    return {shape: _forms_of(shape, first.asDict(), where) for shape in _FORMS}


def _forms_of(shape: str, first: dict[str, Row | None], where: str) -> tuple[str, ...]:
    """`first`: "shape form" -> the first answer that the form misses, "shape form form" -> the first that two read
    differently; None where there is none."""
    forms = _FORMS[shape]
    fitting = [form for form in forms if first[f"{shape} {form}"] is None]
    pairs = ((pair, first[f"{shape} {' '.join(pair)}"]) for pair in combinations(fitting or forms, 2))
    means = next(
        (
            f"{row.file}:{row.line}: answer `{row.answer}` of {row.options} options means option "
            + " or ".join(f"{row.readings[form]} ({form})" for form in pair)
            for pair, row in pairs
            if row
        ),
        None,
    )
    if fitting and (fitting[0] in _PREFERRED[shape] or not means):
        return (fitting[0],)
    if shape == "letter" and not means:
        return forms  # each reads what the other does not
    missed = [(form, row) for form in forms if (row := first[f"{shape} {form}"])]
    raise ConfigError(
        f"{where}: {means or 'answers are meant in several ways'}, and the answers of the source together fit no one way"
        + "".join(
            f"\n  not {form}: {row.file}:{row.line}: `{row.answer}` of {row.options} options" for form, row in missed
        )
        + f"\n  fix: declare it in the source's section: `answers:` {', '.join(_DECLARED)}; answers that do not fit are "
        "then reported row by row"
    )
