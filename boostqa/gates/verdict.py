"""What a gate measured (Finding), how much its failure matters (severity), and the VERDICT row made of both."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pyspark.sql import DataFrame

from boostqa.config import Gate
from boostqa.errors import ConfigError
from boostqa.vocabulary import GateName, Outcome, Severity

Bound = Literal["at most", "at least", "more than"]
# Gates that warn unless the conf says otherwise: they tell how much there is and how strong its evidence, not that it is
# bad.
WARNS = (GateName.WRITER_IS_VOTER, GateName.BUDGET_MET)


@dataclass(frozen=True)
class Finding:
    """What a gate measured: `value` against `limit`, and `observed`, a sentence that says it in words.

    `rows` are [key, evidence] of the rows that made it fail, where they can be named: examples of them are shown.
    """

    table: str
    gate: str
    value: float
    bound: Bound
    limit: float
    observed: str
    rows: DataFrame | None = None

    @property
    def holds(self) -> bool:
        """Whether `value` keeps to the limit."""
        if self.bound == "more than":
            return self.value > self.limit
        return self.value <= self.limit if self.bound == "at most" else self.value >= self.limit


def base_name(gate: str) -> str:
    """The name that a conf uses: without the column, stage or label in parentheses."""
    return gate.partition("(")[0]


def severity_of(conf: Gate, table: str, gate: str) -> Severity:
    """What the conf says of TABLE.GATE, else of GATE, else the default."""
    name = base_name(gate)
    default = Severity.WARN if name in WARNS else Severity.BLOCK
    return conf.severity.get(f"{table}.{name}", conf.severity.get(name, default))


def check_severities(conf: Gate, gates: Iterable[tuple[str, str]]) -> None:
    """Raise ConfigError when `gate.severity` names an expectation that is none of `gates` (table, gate)."""
    expectations = {name for table, gate in gates for name in (base_name(gate), f"{table}.{base_name(gate)}")}
    named = [key for key in conf.severity if key.rpartition(".")[2].startswith("expect_")]
    if unknown := sorted(set(named) - expectations):
        raise ConfigError(
            f"gate.severity: no expectation {', '.join(unknown)}; there are\n  " + "\n  ".join(sorted(expectations))
        )


def verdict(
    conf: Gate,
    table: str,
    gate: str,
    version: int,
    success: bool,
    observed: str,
    expected: str,
    rows_held: bool = False,
) -> dict[str, Any]:
    """VERDICT row without run_id; `rows_held` says that the rows that made the gate fail can be told from the others."""
    severity = severity_of(conf, table, gate)
    failing = Outcome.QUARANTINED if rows_held and conf.quarantine else Outcome.BLOCKS
    failed = Outcome.WARNS if severity == Severity.WARN else failing
    return {
        "table": table, "gate": str(gate), "success": success, "severity": str(severity),
        "outcome": str(Outcome.HOLDS if success else failed), "observed": observed, "expected": expected, "version": version,
    }  # fmt: skip
