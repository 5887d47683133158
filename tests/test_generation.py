"""generation: requests minus ledger -> engine -> ledger; the engine is a fake inside a real Spark task."""

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from boostqa import config
from boostqa.config import Model
from boostqa.errors import ConfigError, ContractError
from boostqa.generation import absorb, complete, staging_folder
from boostqa.lineage import StageRun
from boostqa.prompts import Prompt
from boostqa.requests import Speaker, request
from boostqa.schemas import COMPLETION
from boostqa.tables import Warehouse

DEMO = str(Path(__file__).parents[1] / "conf" / "demo.yaml")


@pytest.fixture
def stage(spark, tmp_path):
    conf = config.load(DEMO, [f"warehouse={tmp_path}/w"])
    return StageRun(spark, conf, "synthesize", "run1", Warehouse(spark, conf.warehouse))


def echo(asked_log, dies=False):
    """A connect function whose engine answers with the prompt and logs what it was asked; pickled by value."""

    def connect(settings):
        from udfs.engines.client import EngineDied

        class Echo:
            started = True

            def __init__(self):
                self.flight = []

            def submit(self, message):
                with open(asked_log, "a") as log:
                    log.write(message["prompt"] + "\n")
                self.flight.append(message)

            def poll(self, timeout):
                done = [
                    {
                        "request_id": m["request_id"],
                        "text": m["prompt"].upper(),
                        "finish_reason": "stop",
                        "generated_tokens": 2,
                    }
                    for m in self.flight
                ]
                self.flight.clear()
                return done

            def close(self):
                pass

        if dies:
            raise EngineDied("vLLM did not start: no such model")
        return Echo()

    return connect


def requests(stage, *prompts):
    rows = stage.spark.createDataFrame([(p,) for p in prompts], "said string")
    speaker = Speaker(Model(id="m"), stage.config.engine)
    return request(rows, "synthesize", speaker, Prompt("t", {"en": "x"}), F.col("said")), speaker


def stage_part(stage, asked, texts, name=None, cut=0):
    """Leave a part file as a killed task would: rows of `asked` with the given texts."""
    folder = Path(staging_folder(stage))
    folder.mkdir(parents=True, exist_ok=True)
    usual = dict.fromkeys(COMPLETION.schema.names) | dict.fromkeys(
        ("prompt_tokens", "generated_tokens", "thinking_tokens", "cached_tokens", "engine_seconds", "attempts"), 0
    )
    rows = []
    for row in asked.collect():
        if row["prompt"] in texts:
            known = {k: v for k, v in row.asDict().items() if k in usual}
            stamp = pa.scalar(0, pa.timestamp("us", tz="UTC")).as_py()
            rows.append(
                usual
                | known
                | {"text": texts[row["prompt"]], "finish_reason": "stop", "run_id": "r0", "finished_at": stamp}
            )
    path = folder / f"part-{name or uuid.uuid4().hex}-r{len(rows)}-t0.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=to_arrow_schema(COMPLETION.schema)), path)
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return path


def test_complete_second_time_asks_nothing_and_leaves_the_ledger_as_it_was(stage, tmp_path):
    asked, speaker = requests(stage, "a", "b", "b")
    got = complete(stage, asked, speaker, echo(tmp_path / "log"))
    assert {(r["prompt"], r["text"]) for r in got.collect()} == {("a", "A"), ("b", "B")}
    before = stage.warehouse.measure("completion")
    complete(stage, asked, speaker, echo(tmp_path / "log"))
    assert sorted((tmp_path / "log").read_text().split()) == ["a", "b"]
    assert stage.warehouse.measure("completion") == before
    assert (stage.figures["requests"], stage.figures["reused"], stage.figures["generated_tokens"]) == (4, 2, 4)


def test_complete_takes_rows_a_killed_run_had_flushed_and_asks_only_the_rest(stage, tmp_path):
    asked, speaker = requests(stage, "a", "b", "c")
    stage_part(stage, asked, {"a": "from the killed run"})
    got = complete(stage, asked, speaker, echo(tmp_path / "log"))
    assert {r["prompt"]: r["text"] for r in got.collect()} == {"a": "from the killed run", "b": "B", "c": "C"}
    assert sorted((tmp_path / "log").read_text().split()) == ["b", "c"]
    assert list(Path(staging_folder(stage)).glob("part-*")) == []


def test_absorb_ignores_a_part_that_was_cut_off(stage, tmp_path):
    asked, speaker = requests(stage, "a", "b")
    stage_part(stage, asked, {"a": "whole"})
    stage_part(stage, asked, {"b": "cut"}, cut=20)
    got = complete(stage, asked, speaker, echo(tmp_path / "log"))
    assert {r["prompt"]: r["text"] for r in got.collect()} == {"a": "whole", "b": "B"}


def test_absorb_keeps_the_first_of_two_different_answers_and_reports_it(stage, capsys):
    asked, _ = requests(stage, "a")
    stage.warehouse.append("completion", stage.spark.createDataFrame([], COMPLETION.schema))
    stage_part(stage, asked, {"a": "first"})
    assert absorb(stage, staging_folder(stage)) == 1
    stage_part(stage, asked, {"a": "second"})
    assert absorb(stage, staging_folder(stage)) == 0
    assert [r["text"] for r in stage.warehouse.read("completion").collect()] == ["first"]
    assert "1 request(s) were answered twice" in capsys.readouterr().err


def test_complete_engine_that_cannot_start_is_one_readable_error(stage, tmp_path):
    asked, speaker = requests(stage, "a")
    with pytest.raises(ConfigError, match="no engine for model m: vLLM did not start: no such model"):
        complete(stage, asked, speaker, echo(tmp_path / "log", dies=True))


def test_request_id_changes_with_every_ingredient_and_with_nothing_else(stage):
    def one(**changes):
        speaker = Speaker(Model(id=changes.pop("id", "m"), revision=changes.pop("revision", None)), stage.config.engine)
        text, rows = F.lit(changes.pop("text", "p")), stage.spark.range(1)
        prompt = Prompt("t", {"en": changes.pop("template", "x")})
        return request(rows, changes.pop("stage", "synthesize"), speaker, prompt, text, **changes).first()["request_id"]

    base = one()
    assert one() == base and one(stage="refine") == base
    others = [
        one(id="n"), one(revision="v1"), one(text="q"), one(template="y"), one(sample_index=F.lit(1)),
        one(continuation=F.lit("c")), one(structured=F.lit("{}")), one(sampling=config.Sampling(temperature=0.1)), one(chat=False),
    ]  # fmt: skip
    assert len({base, *others}) == 10


def test_read_empty_table_says_so(stage):
    stage.warehouse.append("completion", stage.spark.createDataFrame([], COMPLETION.schema))
    with pytest.raises(ContractError, match="table completion is empty, so there is nothing to do"):
        stage.read("completion")


def test_account_that_does_not_balance_fails(stage):
    stage.account(rows_in=5, kept=4, rejected=2, fan_out=1)
    with pytest.raises(ContractError, match=r"5 in \+ 0 fan-out != 3 kept \+ 1 rejected"):
        stage.account(rows_in=5, kept=3, rejected=1)
