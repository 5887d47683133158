"""Values looked up by a column, for vocabularies of up to some hundred words."""

import json
from collections.abc import Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F


def literal_map(pairs: Mapping[str, str | float], value: str = "string") -> Column:
    """A map of string to SQL type `value`. One literal that Spark folds: of a `create_map` every word is a node of the plan,
    which each rule of the analyser and the optimiser visits."""
    return F.from_json(F.lit(json.dumps(dict(pairs), ensure_ascii=False)), f"map<string,{value}>")
