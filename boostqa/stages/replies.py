"""What a model's JSON reply says: its fields, with the LaTeX that JSON has damaged restored (udfs/latex.py)."""

from collections.abc import Iterable

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.control_tokens import escaped
from udfs import latex

_SCHEMA = "question string, choices array<string>, solution string, answer string"
# A backslash that begins no escape of JSON, after an even number of others: \alpha, \underline.
_LONE_BACKSLASH = r'(?<!\\)((?:\\\\)*+)\\(?!["\\/bfnrt]|u[0-9a-fA-F]{4})'
_TEXTS = ("question", "solution", "answer")
_BLANK = " \t\n"


def with_fields(rows: DataFrame, control_tokens: Iterable[str]) -> DataFrame:
    """Rows with `text` (a reply) -> the same and question, choices, solution, answer (trimmed; blank is null, but in
    choices), and `broken`: what a field holds that is no text, as Python spells it; null where nothing is broken.

    `control_tokens` are those of the target tokenizer, escaped in every field.
    """

    @F.pandas_udf(latex.SCHEMA)  # type: ignore[call-overload]
    def restore(texts: pd.Series) -> pd.DataFrame:
        return latex.restore_all(texts, formulas_from=_TEXTS.index("answer"))

    text = F.regexp_replace("text", _LONE_BACKSLASH, r"$1\\\\")
    json = F.from_json(text, _SCHEMA, {"allowUnquotedControlChars": "true"})
    fields = F.concat(F.array(*(json[name] for name in _TEXTS)), F.coalesce(json["choices"], F.array()))
    restored = rows.withColumns({"has_choices": json["choices"].isNotNull(), "restored": restore(fields)})
    tokens = tuple(control_tokens)
    texts = F.transform("restored.texts", lambda t: escaped(F.btrim(t, F.lit(_BLANK)), tokens))
    choices = F.slice(texts, len(_TEXTS) + 1, F.greatest(F.size(texts) - len(_TEXTS), F.lit(0)))
    named: dict[str, Column] = {name: F.nullif(texts[i], F.lit("")) for i, name in enumerate(_TEXTS)}
    named |= {"choices": F.when(F.col("has_choices"), choices), "broken": F.col("restored.broken")}
    return restored.withColumns(named).drop("restored", "has_choices")
