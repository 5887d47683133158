"""What a manifest says of where the rows of an export come from: versions, code, conf, models, prompts, verdicts."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa import basis
from boostqa.calls.models import target_tokenizer
from boostqa.config import Config, redacted
from boostqa.schemas import TABLES
from boostqa.stages.power import JUDGE, LINE, VOTER
from boostqa.stages.withdrawal import marked
from boostqa.storage.warehouse import Warehouse
from boostqa.tracking.stage_run import StageRun, code_revision
from boostqa.vocabulary import STAGES, Outcome


def tokenizer_hash(config: Config) -> str:
    """sha256 of the target model's tokenizer.json."""
    return hashlib.sha256(target_tokenizer(config).encode()).hexdigest()


def code_hash() -> str:
    """Digest of the code that decides the rows and bytes of a mix."""
    return basis.code(STAGES[-1])


def of_export(stage: StageRun, rounds: Sequence[str]) -> dict[str, Any]:
    """Delta versions of all tables (of what the stage read, those read), the rounds exported, code, prompts, tokenizer, conf
    (all keys that change rows; secrets left out) and the models with their revisions."""
    config, tables = stage.config, stage.warehouse
    others = [name for name in TABLES if name not in stage.inputs and tables.exists(name)]
    versions = stage.inputs | {name: tables.version(name) for name in others}
    conf: dict[str, Any] = {}
    models: dict[str, dict[str, str | None]] = {}
    for name in STAGES:
        conf |= basis.conf_of(config, name)
        for role, spec in basis.models_of(config, name).items():
            models[role] = {"id": spec.model.id, "revision": spec.model.revision}
    return {
        "code_revision": code_revision(),
        "conf_hash": stage.conf_hash,
        "basis_hash": basis.digest(stage.basis),
        "code_hash": code_hash(),
        "prompts_hash": basis.prompts(),
        "tokenizer": config.tokenizer,
        "tokenizer_hash": tokenizer_hash(config),
        "versions": dict(sorted(versions.items())),
        "rounds": list(rounds),
        "conf": redacted(conf),
        "models": models,
    }


def of_checks(tables: Warehouse, rounds: Sequence[str]) -> dict[str, Any]:
    """What the checks made of known items in these rounds (POWER rows of the line, the voter and the judge), and how many
    items were left out because they hold a benchmark's."""
    power = tables.rows("power").where(F.col("round").isin(rounds) & F.col("check").isin(LINE, VOTER, JUDGE))
    leaks = tables.rows("contamination").where(F.col("round").isin(rounds)).groupBy("benchmark", "kind")
    shares = [F.round(name, 4).alias(name) for name in ("wilson_low", "wilson_high")]
    worth = power.select("round", "check", "defect", "items", "passed", *shares).orderBy("round", "check", "defect")
    found = leaks.agg(F.count_distinct("draft_id").alias("items")).orderBy("benchmark", "kind")
    return {"controls": [r.asDict() for r in worth.collect()], "contamination": [r.asDict() for r in found.collect()]}


def withdrawn(withdrawal: DataFrame, clean: DataFrame) -> list[dict[str, Any]]:
    """WITHDRAWAL rows -> what each takes out of `clean`: its kind, value and reason, items and tokens."""
    items = clean.join(marked(clean, withdrawal).select("seed_id", "kind", "value"), "seed_id", "inner")
    sums = (F.count("*").alias("items"), F.coalesce(F.sum("tokens"), F.lit(0)).alias("tokens"))
    found = items.groupBy("kind", "value").agg(*sums)
    rows = withdrawal.select("kind", "value", "why").join(found, ["kind", "value"], "left").na.fill(0)
    return [r.asDict() for r in rows.orderBy("kind", "value").collect()]


def verdicts(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """VERDICT rows -> how many there are of each outcome, and those that do not hold."""
    rows = list(rows)
    failed = [{k: v[k] for k in ("round", "table", "gate", "outcome")} for v in rows if v["outcome"] != Outcome.HOLDS]
    counted = Counter(str(v["outcome"]) for v in rows)
    return {"outcomes": dict(sorted(counted.items())), "failed": sorted(failed, key=lambda v: tuple(v.values()))}
