"""generation: requests minus ledger -> engine -> ledger; the engine is a fake inside a real Spark task."""

import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from delta.tables import DeltaTable
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructField, StructType

from boostqa import config
from boostqa.config import Endpoint, Model
from boostqa.errors import ConfigError, ContractError
from boostqa.generation import absorb, complete, staging_folder
from boostqa.lineage import StageRun
from boostqa.prompts import Prompt
from boostqa.requests import Speaker, deal, request
from boostqa.schemas import COMPLETION, ENGINE
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
            progress = in_flight_tokens = 0

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


def stage_part(stage, asked, texts, cut=0, second=0):
    """Leave a part file as a killed task would: rows of `asked` with the given texts."""
    folder = Path(staging_folder(stage))
    folder.mkdir(parents=True, exist_ok=True)
    usual = dict.fromkeys(COMPLETION.schema.names) | dict.fromkeys(
        ("prompt_tokens", "generated_tokens", "thinking_tokens", "cached_tokens", "engine_seconds", "attempts"), 5
    )
    rows = []
    for row in asked.collect():
        if row["prompt"] in texts:
            known = {k: v for k, v in row.asDict().items() if k in usual}
            stamp = pa.scalar(second * 1_000_000, pa.timestamp("us", tz="UTC")).as_py()
            rows.append(
                usual
                | known
                | {"text": texts[row["prompt"]], "finish_reason": "stop", "run_id": "r0", "finished_at": stamp}
            )
    path = folder / f"part-r0-0-{uuid.uuid4().hex}-r{len(rows)}-t0-f0.parquet"
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


def test_absorb_leaves_a_part_that_is_not_whole_until_it_is_stale(stage, tmp_path):
    asked, speaker = requests(stage, "a", "b")
    stage_part(stage, asked, {"a": "whole"})
    cut = stage_part(stage, asked, {"b": "cut"}, cut=20)
    got = complete(stage, asked, speaker, echo(tmp_path / "log"))
    assert {r["prompt"]: r["text"] for r in got.collect()} == {"a": "whole", "b": "B"}
    assert [p.name for p in Path(staging_folder(stage)).glob("part-*")] == [cut.name]
    os.utime(cut, (0, 0))
    absorb(stage, staging_folder(stage))
    assert not cut.exists()


def test_absorb_keeps_the_first_of_two_different_answers_and_reports_the_other(stage, capsys):
    asked, _ = requests(stage, "a", "b")
    stage.warehouse.create("completion")
    stage_part(stage, asked, {"a": "first", "b": "same"})
    absorb(stage, staging_folder(stage))
    stage_part(stage, asked, {"a": "second", "b": "same"}, second=1)
    stage_part(stage, asked, {"a": "third"}, second=2)
    absorb(stage, staging_folder(stage))
    ledger = {r["prompt"]: r["text"] for r in stage.warehouse.read("completion").collect()}
    assert ledger == {"a": "first", "b": "same"}
    assert sorted(r["text"] for r in stage.warehouse.read("conflict").collect()) == ["second", "third"]
    assert (stage.figures["conflicts"], stage.figures["retry_tokens"]) == (2, 15)  # three later ones of 5 tokens
    assert "2 request(s) were answered twice" in capsys.readouterr().err
    assert list(Path(staging_folder(stage)).glob("part-*")) == []


def test_absorb_again_after_a_driver_died_before_it_removed_the_part_counts_nothing_twice(stage):
    asked, _ = requests(stage, "a")
    stage.warehouse.create("completion")
    part = stage_part(stage, asked, {"a": "x"})
    copy = part.read_bytes()
    absorb(stage, staging_folder(stage))
    part.write_bytes(copy)
    absorb(stage, staging_folder(stage))
    assert stage.warehouse.read("completion").count() == 1
    assert (stage.figures["conflicts"], stage.figures["retry_tokens"]) == (0, 0)


def test_failed_completion_is_asked_again(stage, tmp_path):
    asked, speaker = requests(stage, "a", "b")
    complete(stage, asked, speaker, echo(tmp_path / "log"))
    table = DeltaTable.forPath(stage.spark, stage.warehouse.path("completion"))
    table.update("prompt = 'a'", {"finish_reason": F.lit("failed"), "text": F.lit("")})
    got = complete(stage, asked, speaker, echo(tmp_path / "log"))
    assert sorted((r["prompt"], r["text"]) for r in got.collect()) == [("a", "A"), ("b", "B")]
    assert (tmp_path / "log").read_text().split() in (["a", "b", "a"], ["b", "a", "a"])


def test_two_drivers_that_absorb_the_same_parts_leave_each_request_once(stage, spark):
    asked, _ = requests(stage, *"abcdef")
    stage.warehouse.create("completion")
    for prompt in "abcdef":
        stage_part(stage, asked, {prompt: prompt})
    other = StageRun(spark.newSession(), stage.config, "refine", "run2", Warehouse(spark, stage.config.warehouse))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda s: absorb(s, staging_folder(stage)), [stage, other]))
    written, keys = stage.warehouse.measure("completion")
    assert (written.rows, keys) == (6, 6)


def test_recipes_with_different_warehouses_share_a_ledger(stage, spark, tmp_path):
    def recipe(name):
        conf = config.load(DEMO, [f"warehouse={tmp_path}/{name}", f"generation.ledger={tmp_path}/ledger"])
        return StageRun(spark, conf, "refine", name, Warehouse(spark, conf.warehouse, conf.generation.ledger))

    one, other = recipe("one"), recipe("other")
    asked, speaker = requests(one, "a")
    complete(one, asked, speaker, echo(tmp_path / "log"))
    complete(other, asked, speaker, echo(tmp_path / "log"))
    assert (tmp_path / "log").read_text().split() == ["a"]
    assert other.figures["reused"] == 1


def test_engine_table_tells_what_each_engine_did(stage, tmp_path):
    stage = replace(stage, config=config.load(DEMO, [f"warehouse={tmp_path}/w", "generation.engines=2"]))
    asked, speaker = requests(stage, *(f"prompt {i}" for i in range(20)))
    complete(stage, asked, speaker, echo(tmp_path / "log"))
    rows = stage.spark.createDataFrame(stage.engines, ENGINE.schema).orderBy("partition").collect()
    assert [(r["stage"], r["call"], r["partition"]) for r in rows] == [("synthesize", 0, 0), ("synthesize", 0, 1)]
    assert sum(r["completed"] for r in rows) == 20 and sum(r["generated_tokens"] for r in rows) == 40
    assert 0 <= stage.idle_tail_share <= 1


def test_deal_gives_engines_equal_tokens_longest_first_and_keeps_prefixes_together(stage):
    lengths = [2 ** (i % 8) * 16 for i in range(4000)]
    rows = stage.spark.createDataFrame(
        [(f"seed {i // 8:04d} " * 100 + str(i), n) for i, n in enumerate(lengths)], "said string, n int"
    )
    speaker = Speaker(Model(id="m"), stage.config.engine)
    asked = request(rows, "synthesize", speaker, Prompt("t", {"en": "x"}), F.col("said"))
    asked = asked.withColumn("sampling", F.format_string('{"max_tokens":%d}', "n"))
    ledger = stage.spark.createDataFrame([], COMPLETION.schema)
    dealt = deal(asked, ledger, 4).withColumn("engine", F.spark_partition_id())
    found = [(r["engine"], json.loads(r["sampling"])["max_tokens"], r["prompt"]) for r in dealt.collect()]
    loads = [sum(n + len(p) / 3 for e, n, p in found if e == engine) for engine in range(4)]
    assert len(found) == 4000 and max(loads) / min(loads) < 1.02
    for engine in range(4):
        outputs = [n for e, n, _ in found if e == engine]
        assert outputs == sorted(outputs, reverse=True)


def test_deal_learns_from_the_ledger_how_much_of_the_limit_a_kind_of_request_uses(stage):
    asked, _ = requests(stage, *"abcd")
    short = asked.where("prompt < 'c'").withColumn("template", F.lit("short"))
    both = short.unionByName(asked.where("prompt >= 'c'"))
    row = dict.fromkeys(COMPLETION.schema.names) | {c: 0 for c in ("generated_tokens", "sample_index", "attempts")}
    row |= {
        "request_id": "r",
        "model": "m",
        "template": "short",
        "sampling": '{"max_tokens":32}',
        "generated_tokens": 1,
    }
    schema = StructType([StructField(f.name, f.dataType, True) for f in COMPLETION.schema])
    ledger = stage.spark.createDataFrame([row], schema)
    assert [r["prompt"] < "c" for r in deal(both, ledger, 1).collect()] == [False, False, True, True]


def test_prompt_with_bytes_that_are_no_utf8_is_asked_with_their_replacement(stage, tmp_path):
    rows = stage.spark.range(1).select(F.expr("cast(X'61FF62' as string)").alias("said"))
    speaker = Speaker(Model(id="m"), stage.config.engine)
    asked = request(rows, "synthesize", speaker, Prompt("t", {"en": "x"}), F.col("said"))
    assert [r["text"] for r in complete(stage, asked, speaker, echo(tmp_path / "log")).collect()] == ["A\ufffdB"]


def test_complete_engine_that_cannot_start_is_one_readable_error(stage, tmp_path):
    asked, speaker = requests(stage, "a")
    with pytest.raises(ConfigError, match="no engine for model m: vLLM did not start: no such model"):
        complete(stage, asked, speaker, echo(tmp_path / "log", dies=True))


class Teacher(BaseHTTPRequestHandler):
    """A served model that answers with the prompt in capitals, to who has the key."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = self.headers["Authorization"] == "Bearer the-right-key-of-the-teacher"
        choice = {"message": {"content": body["messages"][0]["content"].upper()}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        answer = (
            {"choices": [choice], "usage": usage} if known else {"error": {"message": self.headers["Authorization"]}}
        )
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *args):
        pass


@pytest.mark.parametrize("key", ["the-right-key-of-the-teacher", "a-wrong-key-that-must-not-be-shown"])
def test_served_model_is_asked_with_the_key_of_the_environment_which_is_shown_nowhere(
    stage, tmp_path, monkeypatch, key
):
    # Workers inherit the environment of the JVM, which is older than this test: the key reaches them through a worker's
    # own start-up here, and through the executors' environment on a cluster.
    def connect(settings):
        os.environ["TEACHER_KEY"] = key
        from udfs.engines.openai_engine import OpenAIEngine

        return OpenAIEngine(settings)

    with ThreadingHTTPServer(("127.0.0.1", 0), Teacher) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        endpoint = Endpoint(url=url, key_env="TEACHER_KEY", max_retries=0)
        asked, _ = requests(stage, "a", "b")
        speaker = Speaker(Model(id="teacher", endpoint=endpoint), stage.config.engine)
        if "wrong" in key:
            with pytest.raises(ConfigError, match="TEACHER_KEY: HTTP 401") as error:
                complete(stage, asked, speaker, connect)
            assert key not in str(error.value) and key not in str(error.value.__cause__)
        else:
            rows = complete(stage, asked, speaker, connect).collect()
            assert {r["prompt"]: (r["text"], r["generated_tokens"]) for r in rows} == {"a": ("A", 2), "b": ("B", 2)}
            assert key not in str(rows) and stage.figures["engine_starts"] == 0
        server.shutdown()


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
