"""The languages that prompts and labels exist in, and the language of a row. A row in any other language gets the
English prompts."""

import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F

from udfs import language_tags
from udfs import text as text_udfs

LANGUAGES = ("en", "zh")


def in_language(lang: Column, chinese: Column | str, english: Column | str) -> Column:
    """The one for rows whose `lang` is zh, the other for the rest."""
    return F.when(lang == "zh", chinese).otherwise(english)


def language_of(tag: Column, text: Column, languages: tuple[str, ...]) -> Column:
    """The language that a tag or name declares (udfs/language_tags.py); where it declares none, the one of `languages`
    that the text is most likely in."""
    declared = F.pandas_udf(language_tags.languages, "string")(tag)  # type: ignore[call-overload]

    @F.pandas_udf("string")  # type: ignore[call-overload]
    def identify(texts: pd.Series) -> pd.Series:
        return text_udfs.identify_language(texts, languages)

    return F.coalesce(declared, identify(F.when(declared.isNull(), text)))
