"""Tables -> verdicts and quarantine: suites of Great Expectations, gates on the rows of clean, on the checks and on whole
tables, and a page to read them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.config import Config
from boostqa.gates import table_gates
from boostqa.gates.expectations import Record, contract_expectations, value_expectations
from boostqa.gates.page import page
from boostqa.gates.power_gates import PowerFinding, power_gates
from boostqa.gates.row_gates import EXAMPLES, Examples, RowJudgement
from boostqa.gates.verdict import Finding, check_severities, verdict
from boostqa.stages import quarantine


def judge(
    frames: dict[str, DataFrame],
    versions: dict[str, int],
    conf: Config,
    folder: Path,
    hold: Callable[[DataFrame], DataFrame],
) -> list[dict[str, Any]]:
    """Judge the tables (name -> rows read at `versions`) and return VERDICT rows without run_id.

    `frames` holds seed, annotation, probe, budget, plan, completion, draft, control, refined, clean, reject,
    contamination, power and quarantine. `hold` is given [draft_id, gate, number, item_hash, event, evidence] of what is
    new in quarantine, stores it and returns the table QUARANTINE as it is then: what is left for the mix is judged after
    that. Rows are held back under each gate that they make fail, whether it lets the others go on (`gate.quarantine`)
    or blocks, but for gates that only warn. A column that a suite misses is a failed verdict, not an exception. Raises
    ConfigError when `gate.severity` names an expectation there is not.

    Leaves in `folder` (local) the GX context with its suites and validation results, and `verdicts.html`, which needs nothing
    but itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = value_expectations(conf.seed, conf.clean)
    suites = {name: contract_expectations(name) + values.get(name, []) for name in frames if name != "quarantine"}
    check_severities(conf.gate, ((name, e.configuration.type) for name, suite in suites.items() for e in suite))
    record = Record(folder, versions)
    validated = {name: record.suite(name, suite, frames[name]) for name, suite in suites.items()}
    power = [r.asDict() for r in frames["power"].orderBy("check", "defect").collect()]
    about_checks = power_gates(power, table_gates.accepted_drafts(frames) if power else (0, 0), conf.gate)

    rows = RowJudgement(frames, conf, validated["clean"], about_checks)
    left, _ = quarantine.split(frames["clean"], hold(rows.events()))
    found = [
        *(rows.after_releases(f) for f in about_checks),
        *rows.findings(),
        *table_gates.export_findings(left, frames["budget"], conf.gate),
        *table_gates.counted_findings(frames, conf.gate),
        *table_gates.label_findings(frames["annotation"], conf.gate),
        *table_gates.request_findings(frames, conf.gate),
    ]
    examples = _examples([f for f in found if not f.holds]) | rows.examples()
    verdicts = [
        verdict(conf.gate, table, v.gate, versions[table], v.success, v.observed, v.expected, rows.names(table, v.gate))
        for table, suite in (validated | {"clean": rows.suite}).items()
        for v in suite
    ] + [
        verdict(
            *(conf.gate, f.table, f.gate, versions[f.table], f.holds, f.observed, f"{f.bound} {f.limit:.4g}"),
            rows.names("clean" if isinstance(f, PowerFinding) else f.table, f.gate),
        )
        for f in found
    ]
    (folder / "verdicts.html").write_text(page(verdicts, examples, power), encoding="utf-8")
    rows.judged.unpersist()
    return verdicts


def _examples(failed: list[Finding]) -> Examples:
    """A few rows of each gate that fails on a table as a whole, chosen by hash."""
    return {
        (f.table, f.gate): [
            (r["key"], r["evidence"])
            for r in f.rows.orderBy(F.xxhash64("key"), "key", "evidence").limit(EXAMPLES).collect()
        ]
        for f in failed
        if f.rows is not None
    }
