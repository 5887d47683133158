"""Requests, and part files as a killed task leaves them."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import REQUEST_COLUMNS, with_request
from boostqa.config import EngineSettings, Model
from boostqa.prompts import Prompt
from boostqa.schemas import COMPLETION
from tests.rows import row
from udfs.staging import Staging, part_prefix

SPEC = ModelSpec(Model(id="m"), EngineSettings())


@pytest.fixture
def requests(spark):
    """requests(*prompts): REQUEST rows of the model SPEC."""

    def make(*prompts):
        rows = spark.createDataFrame([(p,) for p in prompts], "words string")
        return with_request(rows, "synthesize", SPEC, Prompt("t", {"en": "x"}), F.col("words"))

    return make


def completion(request, second=0, run_id="r0", **changes):
    """A COMPLETION row (dict) that answers a REQUEST row, finished at a second of the epoch."""
    finished = pa.scalar(second * 1_000_000, pa.timestamp("us", tz="UTC")).as_py()
    known = {c: request[c] for c in REQUEST_COLUMNS}
    usual = {"generated_tokens": 5, "finish_reason": "stop", "run_id": run_id, "finished_at": finished}
    return row(COMPLETION, **known | usual | changes)


def write_part(stage, rows, cut=0, run_id=None):
    """Leave COMPLETION rows as a part file, as a task of the stage's run (or another) does; with `cut` it lacks its last
    bytes."""
    folder = Path(stage.staging_folder())
    before = set(folder.glob("part-*"))
    schema = to_arrow_schema(COMPLETION.schema)
    staging = Staging(
        str(folder), part_prefix(run_id or stage.run_id, 0), schema, flush_rows=len(rows) + 1, flush_seconds=1e9
    )
    for each in rows:
        staging.add(each)
    staging.flush(force=True)
    [path] = set(folder.glob("part-*")) - before
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return path
