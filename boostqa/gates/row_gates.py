"""Gates whose failure lies in rows of clean: what is moved to quarantine so that the others may go on."""

from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.config import Config, Gate, Mix, Seed
from boostqa.gates.expectations import Validated, unexpected
from boostqa.gates.power_gates import PowerFinding
from boostqa.gates.verdict import Finding, severity_of
from boostqa.licensing import owes_attribution
from boostqa.lookup import literal_map
from boostqa.stages import quarantine
from boostqa.vocabulary import GateName, MatchKind, QuarantineEvent, Severity
from udfs import licences

EXAMPLES = 20  # rows shown of a gate that fails
VALUE_CHARACTERS = 200  # shown of a value that breaks an expectation
Examples = dict[tuple[str, str], list[tuple[str, str]]]  # (table, gate) -> key and evidence


@dataclass(frozen=True)
class RowGate:
    """A limit on the rows that have an `evidence` (null: the row is fine); `what` completes "3 of 100 items ..."."""

    name: str
    evidence: Column
    limit: float
    of: Literal["rows", "share"]
    what: str

    def finding(self, broken: int, released: int, rows: int) -> Finding:
        """What `broken` of `rows` rows say that were not released, and `released` that were."""
        value = broken / max(rows, 1) if self.of == "share" else broken
        seen = f"{broken} of {rows} items {self.what}{released_too(released)}"
        return Finding("clean", self.name, value, "at most", self.limit, seen)


def released_too(released: int) -> str:
    """Tells of rows that a person let through."""
    return f"; {released} more released by name" if released else ""


def with_matches(clean: DataFrame, contamination: DataFrame) -> DataFrame:
    """CLEAN rows with `verbatim` and `similar`: the first match of each kind in words, null where there is none."""
    words = F.concat(F.concat_ws("/", "benchmark", "benchmark_item"), F.lit(" "), "field", F.lit(": "), "match")
    of_kind = {kind: F.min(F.when(F.col("kind") == kind, words)).alias(kind) for kind in MatchKind}
    matches = contamination.groupBy("draft_id").agg(*of_kind.values())
    return clean.join(matches, "draft_id", "left")  # unique by draft_id


def _incompatible(mix: Mix) -> Column:
    """Why an item may not go out under the export's licence: for its seed's, or for the terms of a model that wrote it."""

    @F.pandas_udf("string")  # type: ignore[call-overload]
    def why(texts: pd.Series) -> pd.Series:
        return licences.conflicts(texts, str(mix.licence))

    terms = literal_map(mix.output_terms)
    wrote = (F.try_element_at(terms, F.col(role)) for role in ("generator", "refiner"))
    return why(F.concat_ws(" AND ", "licence", *wrote))


def row_gates(gate: Gate, seed: Seed, mix: Mix) -> list[RowGate]:
    """The gates over `with_matches`; that of the export's licence where the conf names one."""
    under = f"may not go out under {mix.licence}"
    whole = [RowGate(GateName.LICENCE_COMPATIBLE, _incompatible(mix), 0, "rows", under)] if mix.licence else []
    licence, lang = F.col("licence"), F.col("lang")
    not_allowed = F.exists(F.split(licence, " AND "), lambda name: ~name.isin(seed.licences))
    owed = owes_attribution(licence, F.col("attribution"))
    in_words = F.concat(F.lit("text of a benchmark: "), F.col("verbatim"))
    resembles = F.concat(F.lit("like a benchmark item: "), F.col("similar"))
    refused = F.when(not_allowed, F.concat(F.lit("licence "), licence))
    nobody = F.when(owed, F.concat(licence, F.lit(" without attribution")))
    foreign = F.when(~lang.isin(seed.languages), F.concat(F.lit("language "), lang))
    own = F.when(F.col("refiner") == F.col("generator"), F.concat(F.col("generator"), F.lit(" wrote and checked it")))
    unlisted, owing = "have a licence that seed.licences does not list", "name nobody though their licence asks for it"
    unasked = "are in a language that seed.languages does not list"
    same_model = "were checked by the model that wrote them: its agreement with itself is weaker evidence"
    return [
        RowGate(GateName.CONTAMINATED, in_words, gate.max_contaminated, "rows", "hold text of a benchmark"),
        RowGate(GateName.CONTAMINATED_SIMILAR, resembles, gate.max_similar, "rows", "resemble a benchmark item"),
        RowGate(GateName.LICENCE_ALLOWED, refused, 0, "rows", unlisted),
        *whole,
        RowGate(GateName.ATTRIBUTION_PRESENT, nobody, 0, "rows", owing),
        RowGate(GateName.LANGUAGES, foreign, gate.max_other_language_share, "share", unasked),
        RowGate(GateName.WRITER_IS_VOTER, own, 0, "rows", same_model),
    ]


class RowJudgement:
    """The gates whose failure lies in rows of clean: fixed ones, expectations of clean that fail, and failed findings
    about the checks, which condemn all that these let through."""

    def __init__(
        self, frames: dict[str, DataFrame], conf: Config, suite: list[Validated], about_checks: list[PowerFinding]
    ) -> None:
        self.conf, self.clean, self.history = conf.gate, frames["clean"], frames["quarantine"]
        self.fixed = row_gates(conf.gate, conf.seed, conf.mix)
        self.condemned = {f.gate: _condemned(f) for f in about_checks if not f.holds}
        broken = {v.gate: v for v in suite if not v.success and "column" in v.expectation.configuration.kwargs}
        evidence = {g.name: g.evidence for g in self.fixed} | self.condemned
        evidence |= {gate: _breaks(v) for gate, v in broken.items()}
        self.gates = set(evidence)
        each = (
            F.struct(F.lit(gate).alias("gate"), seen.cast("string").alias("evidence"))
            for gate, seen in evidence.items()
        )
        entries = F.filter(F.array(*each), lambda e: e["evidence"].isNotNull())
        rows = with_matches(self.clean, frames["contamination"])
        named = rows.select("draft_id", quarantine.item_hash().alias("item_hash"), F.inline(entries))
        self.judged = quarantine.with_states(named, self.history).persist()
        released = F.count_if(F.col("event") == QuarantineEvent.RELEASED)
        counts = self.judged.groupBy("gate").agg(F.count("*").alias("rows"), released.alias("released")).collect()
        self.counts = {r["gate"]: (r["rows"] - r["released"], r["released"]) for r in counts}
        self.items = self.clean.count()
        self.suite = [self._validated(v) if v.gate in broken else v for v in suite]

    def names(self, table: str, gate: str) -> bool:
        """Whether the rows that made a gate fail can be told from the others."""
        return table == "clean" and gate in self.gates

    def _all_released(self, gate: str) -> bool:
        broken, released = self.counts.get(gate, (0, 0))
        return released > 0 and not broken

    def _validated(self, v: Validated) -> Validated:
        """An expectation of clean holds where a person let all of the rows through that break it."""
        told = v.observed + released_too(self.counts.get(v.gate, (0, 0))[1])
        return replace(v, success=self._all_released(v.gate), observed=told)

    def after_releases(self, f: PowerFinding) -> PowerFinding:
        """A finding about the checks holds where a person let all of the rows through that it condemns."""
        if f.holds or not self._all_released(f.gate):
            return f
        told = f"{f.observed}{released_too(self.counts[f.gate][1])}"
        return replace(f, value=f.limit, bound="at least", observed=told)

    def findings(self) -> list[Finding]:
        """What the fixed gates say."""
        return [g.finding(*self.counts.get(g.name, (0, 0)), self.items) for g in self.fixed]

    def _failed(self) -> set[str]:
        """Gates that fail, after releases."""
        condemned = {gate for gate in self.condemned if not self._all_released(gate)}
        return (
            {f.gate for f in self.findings() if not f.holds} | condemned | {v.gate for v in self.suite if not v.success}
        )

    def events(self) -> DataFrame:
        """What is new in quarantine."""
        gates = [g for g in self.gates & self._failed() if severity_of(self.conf, "clean", g) == Severity.BLOCK]
        return quarantine.new_events(self.judged.where(F.col("gate").isin(gates)), self.clean, self.history)

    def examples(self) -> Examples:
        """A few rows of each gate that fails for single rows."""
        single = self.gates & self._failed() - set(self.condemned)
        rows = self.judged.select(F.col("draft_id").alias("key"), "evidence", "gate")
        of_gate = {g: rows.where(F.col("gate") == g).orderBy(F.xxhash64("key"), "key").limit(EXAMPLES) for g in single}
        return {("clean", g): [(r["key"], r["evidence"]) for r in found.collect()] for g, found in of_gate.items()}


def _condemned(f: PowerFinding) -> Column:
    """Evidence of each row of clean that a failed finding about the checks concerns."""
    seen = F.lit(f.observed)
    return seen if f.model is None else F.when(F.col("refiner") == f.model, seen)


def _breaks(v: Validated) -> Column:
    """Evidence of each row that breaks an expectation: its value."""
    column = v.expectation.column
    shown = F.concat(F.lit(f"{column}: "), F.left(F.col(column).cast("string"), F.lit(VALUE_CHARACTERS)))
    return F.when(unexpected(v.expectation), shown)
