"""How and where the pipeline runs; nothing here changes a row."""

from typing import Self

from pydantic import model_validator

from boostqa.config.base import PlaceText, Positive, PositiveSeconds, Section, TablePlace, is_secret


class Executors(Section):
    """Executors that generation stages ask for themselves, through a ResourceProfile; needs dynamic allocation."""

    gpus: Positive  # of one executor; each engine takes tensor x pipeline parallel of them
    cores: Positive = 4
    memory: str = "8g"
    memory_overhead: str = "32g"  # the engine's host memory is outside the JVM


class Generation(Section):
    """Execution of model calls: how many engines, how much in flight, how often finished rows are flushed."""

    engines: Positive = 1
    executors: Executors | None = None
    resident_engines: Positive = 1  # engines of different models kept at once on the same executor and GPUs
    # Predicted tokens (prompt and output) of the requests an engine has at once; default: somewhat more than its KV cache
    # holds, so that none of it is ever free.
    tokens_in_flight: Positive | None = None
    flush_rows: Positive = 256
    flush_seconds: PositiveSeconds = 30.0
    idle_seconds: PositiveSeconds = 3600.0  # an engine nobody is connected to ends after this
    start_seconds: PositiveSeconds = 1800.0
    max_attempts: Positive = 3  # the last one alone, so that a request that kills engines takes no other with it
    stall_seconds: PositiveSeconds = 300.0  # no token for so long: the engine counts as hung
    ledger: TablePlace | None = None  # Delta table all recipes share; default: `completion` in the warehouse
    staging: PlaceText | None = None  # folder or URI all executors can write; default: _staging beside the ledger
    env: dict[str, str] = {}
    databricks_scope: str | None = (
        None  # of secrets: what variables endpoint.key_env names is read there, by their names
    )

    @model_validator(mode="after")
    def _no_secret(self) -> Self:
        if found := [k for k in self.env if is_secret(k)]:
            raise ValueError(f"env: {', '.join(found)} is a secret: set it in the environment of the executors instead")
        return self


class Mlflow(Section):
    """Where runs are tracked."""

    tracking_uri: PlaceText | None = None  # default: SQLite beside the warehouse
    experiment: str = "boostqa"
    system_metrics: bool = False  # CPU, memory, disk, network and GPUs of the driver's machine, with the run


class Spark(Section):
    """Session settings; ignored on Databricks, `master` also under spark-submit."""

    master: str | None = None  # None: what spark-submit or the platform set
    conf: dict[str, str] = {}
