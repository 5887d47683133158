"""The languages that prompts and labels exist in. A row in any other language gets the English ones."""

from pyspark.sql import Column
from pyspark.sql import functions as F

LANGUAGES = ("en", "zh")


def in_language(lang: Column, chinese: Column | str, english: Column | str) -> Column:
    """The one for rows whose `lang` is zh, the other for the rest."""
    return F.when(lang == "zh", chinese).otherwise(english)
