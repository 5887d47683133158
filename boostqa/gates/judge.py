"""Tables -> verdicts: a Great Expectations suite for each table, then table-level gates, and a page to read them."""

from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.config import Clean, Gate, Seed
from boostqa.gates.expectations import contract_expectations, validate, value_expectations
from boostqa.gates.page import page
from boostqa.gates.table_gates import table_gates


def judge(
    frames: dict[str, DataFrame], versions: dict[str, int], gate: Gate, seed: Seed, clean: Clean, folder: Path
) -> list[dict[str, Any]]:
    """Judge the tables (name -> rows read at `versions`) and return VERDICT rows without run_id.

    `frames` holds seed, annotation, probe, budget, plan, completion, draft, refined, clean, reject and contamination;
    rates of `gate` are shares of rows 0..1; `seed` gives the licences and languages allowed, `clean` the question
    length (characters). A column that a suite misses is a failed verdict, not an exception. Leaves in `folder` (local)
    the GX context with its validation results and Data Docs, whose pages load styles from the network, and
    `verdicts.html`, which needs nothing but itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = value_expectations(seed, clean)
    verdicts = validate(frames, versions, {name: contract_expectations(name) + values[name] for name in frames}, folder)
    for table, (rows, gates) in table_gates(frames, gate, seed).items():
        row = rows.agg(F.count("*"), *(F.count_if(g.counts) for g in gates)).first()
        assert row is not None
        total, *counts = row
        verdicts += [g.judge(table, versions[table], n, total) for g, n in zip(gates, counts, strict=True)]
    (folder / "verdicts.html").write_text(page(verdicts), encoding="utf-8")
    return verdicts
