"""Is a stage current: would it write again what its tables hold?

It is when its basis (boostqa/basis.py) and the content of its input tables are those of its last execution, no request
of it failed, nobody has written its tables since, and, of the mix, the export is where the conf says.

What a round has bought is history once a later round has begun: new seeds or another conf do not make it plan, ask or
answer again; what may be exported of it (clean, gate) still follows the conf.
"""

from collections.abc import Collection, Iterator
from runpy import run_path
from typing import Any

from pyspark.sql import SparkSession

from boostqa.basis import basis, conf_hash, digest, job_file, source_files
from boostqa.calls.ledger import last_release
from boostqa.config import Config
from boostqa.errors import ConfigError
from boostqa.export import manifest
from boostqa.export.shards import mix_folder
from boostqa.rounds import Step, steps
from boostqa.schemas import TABLES
from boostqa.storage.warehouse import Warehouse
from boostqa.tracking.stage_run import last_runs
from boostqa.vocabulary import BUYING_STAGES, NO_ROUND, ROUND_STAGES, STAGES

_BY_PEOPLE = ("withdrawal",)  # tables that a stage reads and none writes


def declared(stage: str) -> dict[str, Any]:
    """What a stage's file in jobs/ defines: main, READS, WRITES; READS_EARLIER where it reads rows of other rounds."""
    return run_path(str(job_file(stage)))


class Freshness:
    """What is current in a warehouse, under one conf. A pipeline tells it what it ran.

    Raises ConfigError where tables hold a round that the conf does not declare: its rows would be left out unsaid.
    """

    def __init__(self, spark: SparkSession, config: Config, tables: Warehouse) -> None:
        self.config, self.tables = config, tables
        self.files, self.conf_hash = source_files(spark, config), conf_hash(config)
        self.steps = steps(config)
        jobs = {stage: declared(stage) for stage in STAGES}
        self.reads, self.earlier, self.writes = (
            {stage: [t for t in job.get(name, ()) if t in TABLES] for stage, job in jobs.items()}
            for name in ("READS", "READS_EARLIER", "WRITES")
        )
        self.last = last_runs(tables)
        known = {step.round for step in self.steps}
        if lost := sorted({name for name, stage in self.last if stage in ROUND_STAGES and name not in known}):
            raise ConfigError(
                f"rounds: the warehouse holds round {', '.join(lost)}, which the conf does not declare; declare what was made "
                f"first, such as rounds: [{{name: {lost[0]}}}, ...]"
            )

    def _inputs(self, step: Step) -> Iterator[tuple[Step, str]]:
        """(step before, table) of each table of earlier steps that a step reads."""
        for before in self.steps[: self.steps.index(step)]:
            other_round = before.round not in (step.round, NO_ROUND)
            if not other_round or before in self.last:
                reads = self.earlier if other_round else self.reads
                yield from ((before, t) for t in sorted(set(self.writes[before.stage]) & set(reads[step.stage])))

    def basis(self, step: Step) -> dict[str, str]:
        """What decides the rows of a step, the tables that earlier ones wrote for it included: name -> digest."""
        about = basis(self.config, step, self.files)
        for before, table in self._inputs(step):
            hashes = (self.last.get(before) or {}).get("hashes") or {}
            about[f"table {table} of {before}"] = hashes.get(table, "")
        for table in sorted(set(_BY_PEOPLE) & set(self.reads[step.stage])):
            about[f"table {table}"] = self._content(table)
        return about

    def _content(self, table: str) -> str:
        """Hash of a table's rows; empty of one without, or that is not there."""
        written = self.tables.measure(table)[0] if self.tables.exists(table) else None
        return written.hash if written and written.rows else ""

    def why_not(self, step: Step) -> str | None:
        """Why a step is not current, in a few words; None where it is."""
        row = self.last.get(step)
        if row is None:
            return "it never ran here"
        if not self._is_history(step) and (why := self._would_differ(step, row)):
            return why
        if foreign := [t for t, version in row["outputs"].items() if self._written_since(step, t, version)]:
            return f"written since, or only in part: table {', '.join(sorted(foreign))}"
        if step.stage == STAGES[-1] and manifest.basis_of(mix_folder(self.config.output)) != digest(row["basis"]):
            return f"no export of it in {self.config.output}"
        return None

    def _is_history(self, step: Step) -> bool:
        """Whether a step has bought what it did before a later round began."""
        names = [r.name for r in self.config.rounds]
        later = names[names.index(step.round) + 1 :] if step.round else []
        return step.stage in BUYING_STAGES and any(name in later for name, _ in self.last)

    def _would_differ(self, step: Step, row: dict[str, Any]) -> str | None:
        """Why a step would not write the same rows again, or asks again what failed."""
        if row["basis"] is None:
            return "it was run by a release that did not say what it was made from"
        was, now = row["basis"], self.basis(step)
        if changed := sorted(name for name in was | now if was.get(name) != now.get(name)):
            more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
            return f"changed: {', '.join(changed[:4])}{more}"
        if row["failed"]:
            return f"{row['failed']} of its requests failed"
        if row["requests"] and (released := last_release(self.tables)) and released > row["finished_at"].timestamp():
            return "refused requests were released"
        return None

    def _written_since(self, step: Step, table: str, version: int) -> bool:
        """Whether a table has changed since, but for what other steps did with their own rows."""
        if not self.tables.exists(table):
            return True
        others = {str(s) for s in self.steps if table in self.writes[s.stage]} - {str(step)}
        commits = self.tables.commits_since(table, version)
        return any(str(Step(c.get("round", NO_ROUND), c.get("stage", ""))) not in others for c in commits)

    def stale(self) -> dict[str, str]:
        """Step -> why it is not current, of those that are not; of rounds that have not begun none but the first step."""
        found = {step: why for step in self.steps if (why := self.why_not(step))}
        begun = {name for name, _ in self.last} | {NO_ROUND}
        first = {r.name: Step(r.name, ROUND_STAGES[0]) for r in self.config.rounds}
        return {str(s): why for s, why in found.items() if s.round in begun or len(first) == 1 or s == first[s.round]}

    def record(self, step: Step, row: dict[str, Any]) -> None:
        """Take note of an execution, a RUN row."""
        self.last[step] = row

    def refuse_gaps(self, chosen: Collection[Step]) -> None:
        """Raise ConfigError where a step that one of `chosen` builds on, and that is not among them, is not current: what
        follows would be made from what is not what the conf says. The mix leaves out rounds that no gate has judged."""
        for step in self.steps:
            if step in chosen or not (after := [s for s in chosen if self._builds_on(s, step)]):
                continue
            if why := self.why_not(step):
                of_round = f" --round {step.round}" if step.round and len(self.config.rounds) > 1 else ""
                raise ConfigError(
                    f"stage {after[0]} would build on what is not current: {step}: {why}; run from there: "
                    f"boostqa run --config ... --from {step.stage}{of_round}"
                )

    def _builds_on(self, step: Step, before: Step) -> bool:
        if self.steps.index(before) >= self.steps.index(step):
            return False
        if before.round in (step.round, NO_ROUND):
            return True
        if step.round == NO_ROUND:
            return (before.round, ROUND_STAGES[-1]) in self.last
        return bool(self.earlier[step.stage]) and before.stage != ROUND_STAGES[-1]
