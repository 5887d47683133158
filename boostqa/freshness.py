"""Is a stage current: would it write again what its tables hold?

It is when its basis (boostqa/basis.py) and the content of its input tables are those of its last execution, no request
of it failed, nobody has written its tables since, and, of the mix, the export is where the conf says.
"""

from collections.abc import Iterable
from runpy import run_path
from typing import Any

from pyspark.sql import SparkSession

from boostqa.basis import basis, conf_hash, digest, job_file, source_files
from boostqa.calls.ledger import last_release
from boostqa.config import Config
from boostqa.errors import ConfigError
from boostqa.export import manifest
from boostqa.export.shards import mix_folder
from boostqa.schemas import TABLES
from boostqa.storage.warehouse import Warehouse
from boostqa.tracking.stage_run import last_runs
from boostqa.vocabulary import STAGES


def declared(stage: str) -> dict[str, Any]:
    """What a stage's file in jobs/ defines: main, READS, WRITES."""
    return run_path(str(job_file(stage)))


class Freshness:
    """What is current in a warehouse, under one conf. A pipeline tells it what it ran."""

    def __init__(self, spark: SparkSession, config: Config, tables: Warehouse) -> None:
        self.config, self.tables = config, tables
        self.files, self.conf_hash = source_files(spark, config), conf_hash(config)
        jobs = {stage: declared(stage) for stage in STAGES}
        self.reads = {stage: [t for t in job["READS"] if t in TABLES] for stage, job in jobs.items()}
        self.writes = {stage: [t for t in job["WRITES"] if t in TABLES] for stage, job in jobs.items()}
        self.last = last_runs(tables)

    def basis(self, stage: str) -> dict[str, str]:
        """What decides the rows of a stage, the tables that earlier stages wrote for it included: name -> digest."""
        about = basis(self.config, stage, self.files)
        for earlier in STAGES[: STAGES.index(stage)]:
            for table in set(self.writes[earlier]) & set(self.reads[stage]):
                hashes = (self.last.get(earlier) or {}).get("hashes") or {}
                about[f"table {table} of {earlier}"] = hashes.get(table, "")
        return about

    def why_not(self, stage: str) -> str | None:
        """Why a stage is not current, in a few words; None where it is."""
        row = self.last.get(stage)
        if row is None:
            return "it never ran here"
        if row["basis"] is None:
            return "it was run by a release that did not say what it was made from"
        was, now = row["basis"], self.basis(stage)
        if changed := sorted(name for name in was | now if was.get(name) != now.get(name)):
            more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
            return f"changed: {', '.join(changed[:4])}{more}"
        if row["failed"]:
            return f"{row['failed']} of its requests failed"
        if row["requests"] and (released := last_release(self.tables)) and released > row["finished_at"].timestamp():
            return "refused requests were released"
        if foreign := [t for t, version in row["outputs"].items() if self._written_since(stage, t, version)]:
            return f"written since, or only in part: table {', '.join(sorted(foreign))}"
        if stage == STAGES[-1] and manifest.basis_of(mix_folder(self.config.output)) != digest(was):
            return f"no export of it in {self.config.output}"
        return None

    def _written_since(self, stage: str, table: str, version: int) -> bool:
        """Whether a table has changed since, but for what other stages did with their own rows."""
        if not self.tables.exists(table):
            return True
        others = {name for name, written in self.writes.items() if table in written} - {stage}
        return any(commit.get("stage") not in others for commit in self.tables.commits_since(table, version))

    def stale(self) -> dict[str, str]:
        """Stage -> why it is not current, of those that are not."""
        return {stage: why for stage in STAGES if (why := self.why_not(stage))}

    def record(self, stage: str, row: dict[str, Any]) -> None:
        """Take note of an execution, a RUN row."""
        self.last[stage] = row

    def refuse_gaps(self, stages: Iterable[str]) -> None:
        """Raise ConfigError where a stage before the first of `stages` is not current: what follows would be made from
        what is not what the conf says."""
        first = min(map(STAGES.index, stages))
        for stage in STAGES[:first]:
            if why := self.why_not(stage):
                raise ConfigError(
                    f"stage {STAGES[first]} would build on what is not current: {stage}: {why}; run from there: "
                    f"boostqa run --config ... --from {stage}"
                )
