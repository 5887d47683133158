"""Rules and the rows they drop: the one place where a reject is made.

A rule is declared once, with its name in `reject.rule` and the cause to which the tokens of a dropped row are lost
(table `token_usage`). A stage lists its rules as RULES; where a row may break several, the first in the stage's order
counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.schemas.table import STRINGS
from boostqa.vocabulary import Cause


@dataclass(frozen=True)
class Rule:
    """A reason to drop a row. `lost_to` is None where no model was asked for the row before."""

    name: str
    lost_to: Cause | None


class Check(NamedTuple):
    """A rule applied to a row: whether the row breaks it (null: no), and what the rule saw."""

    rule: Rule
    breaks: Column
    evidence: Column


def breaks_rule(rule: Rule, evidence: Column, characters: int | None = None) -> Column:
    """struct(rule, evidence); the evidence as text, cut to `characters`."""
    text = evidence.cast("string")
    shown = text if characters is None else F.left(text, F.lit(characters))
    return F.struct(F.lit(rule.name).alias("rule"), shown.alias("evidence"))


def first_broken(checks: Iterable[Check], characters: int | None = None) -> Column:
    """struct(rule, evidence) of the first check that a row breaks, else null."""
    return F.coalesce(*(F.when(c.breaks, breaks_rule(c.rule, c.evidence, characters)) for c in checks))


def reject_rows(rows: DataFrame, stage: str, key: str, request_ids: Column | None = None) -> DataFrame:
    """REJECT columns (without run_id) of the rows whose column `broken_rule` (struct of rule and evidence) is not null.

    `key` is the column that identifies the row; `request_ids` the ledger rows it had cost, null where none.
    """
    cost = F.lit(None).cast(STRINGS) if request_ids is None else request_ids
    return rows.where(F.col("broken_rule").isNotNull()).select(
        F.lit(stage).alias("stage"),
        F.col(key).alias("key"),
        F.col("broken_rule.rule").alias("rule"),
        F.col("broken_rule.evidence").alias("evidence"),
        cost.alias("request_ids"),
    )
