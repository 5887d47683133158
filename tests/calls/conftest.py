"""Requests, and part files as a killed task leaves them."""

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from boostqa.calls.ledger import staging_folder
from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import REQUEST_COLUMNS, with_request
from boostqa.config import EngineSettings, Model
from boostqa.prompts import Prompt
from boostqa.schemas import COMPLETION
from tests.rows import row

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


def write_part(stage, rows, cut=0):
    """Leave COMPLETION rows as a part file; with `cut` it lacks its last bytes."""
    folder = Path(staging_folder(stage))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"part-r0-0-{uuid.uuid4().hex}-r{len(rows)}-t0-f0.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=to_arrow_schema(COMPLETION.schema)), path)
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return path
