"""A model call by a provider's batch interface: files of requests out, files of answers in, however long that takes.

What is at the provider is known by its files in the staging folder alone: a run that was stopped, or another one, takes
the answers in and asks nothing twice.
"""

from time import monotonic, sleep

from pyarrow.fs import FileSelector
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from boostqa.calls.ledger import merge_staged_parts
from boostqa.console import CONSOLE
from boostqa.errors import ConfigError
from boostqa.tracking.stage_run import StageRun
from udfs.engines.batch_api import BATCH_SCHEMA, submit, take_in
from udfs.engines.messages import TOKEN_COUNTS, CallSettings
from udfs.files import file_system

POLL_SECONDS = 60.0


def take_in_batches(stage: StageRun, settings: CallSettings) -> None:
    """Wait for all batches of the staging folder, merge their completions into the ledger.

    Raises ConfigError where the provider refuses a file of requests, or does not answer.
    """
    began = monotonic()
    while names := _names(settings["staging"]):
        frame = stage.spark.createDataFrame([{"name": name} for name in names], "name string")
        engines = min(stage.config.generation.engines, len(names))
        rows = frame.repartition(engines, "name").mapInPandas(lambda b: take_in(b, settings), BATCH_SCHEMA).collect()
        for count in ("failed", *TOKEN_COUNTS):
            stage.usage.counts[count] += sum(row[count] for row in rows)
        not_sent = {row["batch"] for row in rows if row["status"] == "not sent"}
        open_batches = set(names) & set(_names(settings["staging"])) - not_sent
        if len(open_batches) < len(names):
            merge_staged_parts(stage, settings["staging"])
        _refused(stage, rows)
        if not open_batches:
            return
        answered, asked = sum(row["answered"] for row in rows), sum(row["requests"] for row in rows)
        CONSOLE.print(
            f"  {stage.name}: {len(open_batches)} batch(es) at the provider, {answered} of {asked} requests answered "
            f"({monotonic() - began:.0f} s); they go on without us: stop at will, the same command takes them in"
        )
        sleep(POLL_SECONDS)


def generate_in_batches(stage: StageRun, pending: DataFrame, settings: CallSettings) -> None:
    """Send REQUEST rows in files, wait for them, merge their completions into the ledger. Raises as take_in_batches does."""
    spread = pending.repartition(stage.config.generation.engines, F.xxhash64("request_id"))
    _refused(stage, spread.mapInPandas(lambda b: submit(b, settings), BATCH_SCHEMA).collect())
    merge_staged_parts(stage, settings["staging"])
    take_in_batches(stage, settings)


def _names(folder: str) -> list[str]:
    filesystem, path = file_system(folder)
    found = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
    return sorted(f.base_name.removesuffix(".rows") for f in found if f.base_name.endswith(".rows"))


def _refused(stage: StageRun, rows: list[Row]) -> None:
    if why := sorted({row["unusable"] for row in rows if row["unusable"]}):
        raise ConfigError(f"stage {stage.name}: {why[0]}\n  what is answered is kept and will not be asked again")
