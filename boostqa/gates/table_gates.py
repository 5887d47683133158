"""Table-level gates: how many rows of a table, or which share of them, may have a property."""

from dataclasses import dataclass
from typing import Any, Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.config import Gate, Seed
from boostqa.gates.verdict import verdict
from boostqa.stages.deduplicate import EXACT_DUPLICATE, NEAR_DUPLICATE
from boostqa.stages.rejects import Rule
from boostqa.stages.synthesize import BELOW_AIM, TRUNCATED
from boostqa.vocabulary import HIGH_GRADES


@dataclass(frozen=True)
class TableGate:
    """A limit on the rows that `counts` is true for: on their number, or on their share of all rows (0..1)."""

    name: str
    counts: Column
    bound: Literal["at most", "at least"]
    limit: float
    of: Literal["rows", "share"]

    def judge(self, table: str, version: int, counted: int, rows: int) -> dict[str, Any]:
        """The verdict when `counted` of `rows` rows count."""
        value = counted / max(rows, 1) if self.of == "share" else counted
        success = value <= self.limit if self.bound == "at most" else value >= self.limit
        observed = f"{value:.4f} ({counted} of {rows})" if self.of == "share" else f"{counted} of {rows} rows"
        return verdict(table, self.name, version, success, observed, f"{self.bound} {self.limit}")


def _marked(rows: DataFrame, mark: str, ids: DataFrame, key: str = "draft_id") -> DataFrame:
    """`rows` with a column `mark`, true where the key is among `ids` and null elsewhere."""
    return rows.join(ids.distinct().withColumn(mark, F.lit(True)), on=key, how="left")  # ids: unique by distinct


def _rejected(reject: DataFrame, stage: str, *rules: Rule, key: str = "draft_id") -> DataFrame:
    """[`key`] of the rows that a stage rejected, by any rule or by `rules`."""
    rows = reject.where(F.col("stage") == stage)
    if rules:
        rows = rows.where(F.col("rule").isin(*(rule.name for rule in rules)))
    return rows.select(F.col("key").alias(key))


def table_gates(frames: dict[str, DataFrame], gate: Gate, seed: Seed) -> dict[str, tuple[DataFrame, list[TableGate]]]:
    """Table -> (its rows, gates). Drafts that synthesize dropped for being easier than their aim count as degraded,
    too."""
    draft, refined, clean, reject = (frames[t] for t in ("draft", "refined", "clean", "reject"))
    below_aim = _rejected(reject, "synthesize", BELOW_AIM)
    degraded = draft.select("draft_id", (F.col("difficulty") < F.col("grade")).alias("degraded"))
    measured = degraded.union(below_aim.withColumn("degraded", F.lit(True)))
    after_draft = refined.select("draft_id").union(_rejected(reject, "refine")).union(below_aim)
    after_refined = _rejected(reject, "clean").union(clean.select("draft_id"))
    duplicates = _rejected(reject, "clean", EXACT_DUPLICATE, NEAR_DUPLICATE)
    truncated = _rejected(reject, "synthesize", TRUNCATED, key="plan_id")
    unexplained = TableGate("unexplained", F.col("explained").isNull(), "at most", 0, "rows")
    hard = F.col("difficulty").isin(*HIGH_GRADES)
    other_licence = F.exists(F.split("licence", " AND "), lambda name: ~name.isin(seed.licences))
    other_language = ~F.col("lang").isin(seed.languages)
    return {
        "plan": (
            _marked(frames["plan"], "truncated", truncated, "plan_id"),
            [TableGate("truncation_rate", F.col("truncated"), "at most", gate.max_truncation_rate, "share")],
        ),
        "draft": (
            _marked(measured, "explained", after_draft),
            [
                TableGate("degradation_rate", F.col("degraded"), "at most", gate.max_degradation_rate, "share"),
                unexplained,
            ],
        ),
        "refined": (
            _marked(_marked(refined, "explained", after_refined), "duplicate", duplicates),
            [TableGate("duplicate_rate", F.col("duplicate"), "at most", gate.max_duplicate_rate, "share"), unexplained],
        ),
        "clean": (
            _marked(clean, "contaminated", frames["contamination"].select("draft_id")),
            [
                TableGate("min_rows", F.lit(True), "at least", gate.min_rows, "rows"),
                TableGate("high_difficulty_share", hard, "at least", gate.min_high_difficulty_share, "share"),
                TableGate("contaminated", F.col("contaminated"), "at most", gate.max_contaminated, "rows"),
                TableGate("licence_allowed", other_licence, "at most", 0, "rows"),
                TableGate("languages", other_language, "at most", gate.max_other_language_share, "share"),
            ],
        ),
    }
