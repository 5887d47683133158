"""Rounds of a line whose tables are a catalog's: what the second buys, costs and leaves alone; what is withdrawn from both."""

import json
import shutil

import pytest
from pyspark.sql import functions as F

from boostqa import config, pipeline
from boostqa.report.status import collect
from boostqa.schemas import CLEAN
from boostqa.storage.warehouse import Warehouse
from boostqa.vocabulary import ROUND_STAGES, STAGES
from tests.processes import DEMO
from tests.whole_line import command_with, connect, run_once, settings

CATALOG, ROUNDS = "spark_catalog.boostqa", "rounds=[{name: main}, {name: more, tokens: 900}]"


@pytest.fixture(scope="module")
def tables(spark):
    return Warehouse(spark, CATALOG)


@pytest.fixture(scope="module")
def line(spark, tmp_path_factory):
    """The folder of the output of a line that ran one round, and its settings."""
    folder = tmp_path_factory.mktemp("rounds")
    in_catalog = (f"warehouse={CATALOG}", f"generation.staging={folder}/staging")
    run_once(folder, set(), *in_catalog)
    return folder, [*settings(folder), *in_catalog]


@pytest.mark.line
def test_line_in_a_catalog_makes_named_tables_and_commands_read_them(line, spark, tables):
    draft_id = spark.table(f"{CATALOG}.clean").schema["draft_id"]
    assert not draft_id.nullable and draft_id.metadata["comment"] == CLEAN.schema["draft_id"].metadata["comment"]
    facts = json.loads(command_with(line[1], "status", "--json").stdout)
    assert facts["not_current"] == {} and facts["tables"]["mix"]["rows"] == tables.read("mix").count() >= 10
    for words in (("quarantine", "list", "--json"), ("plan", "--json")):
        ended = command_with(line[1], *words)
        assert ended.exit_code == 0 and json.loads(ended.stdout), ended.stderr
    ended = command_with(line[1], "run", "--to=gate")
    assert ended.exit_code == 0 and f"warehouse {CATALOG}\nnothing to do" in ended.stderr


def _withdrawn_source_is_in_no_mix(conf, tables, folder, chosen):
    source = tables.read("mix").groupBy("source").count().orderBy("count").first()["source"]
    exported = tables.read("mix").where(F.col("source") == source).collect()
    before = {r["document_id"] for r in exported if r["draft_ids"]}
    told = json.loads(
        command_with(chosen, "withdraw", "--source", source, "--why", "the licence was revoked", "--json").stdout
    )
    assert told["withdrawn"] == [{"kind": "source", "value": source}] and told["exported"] == len(before)
    assert told["documents"] == len(exported) - len(before) and exported
    assert {i["draft_id"] for i in told["items"] if i["exported_tokens"]} == before
    pipeline.run(conf, STAGES, connect)
    assert {r["source"] for r in tables.read("mix").select("source").distinct().collect()}.isdisjoint({source})
    assert {r["key"] for r in tables.read("reject").where("rule = 'withdrawn'").collect()} >= before
    (named,) = json.loads((folder / "output" / "mix" / "manifest.json").read_text())["withdrawn"]
    assert (named["value"], named["items"]) == (source, told["clean"])


@pytest.mark.line
def test_a_second_round_buys_what_the_first_has_left_and_costs_the_first_nothing(line, tables, capsys, tmp_path):
    folder, chosen = line
    before, first = shutil.copytree(folder / "output" / "mix", tmp_path / "before"), collect(tables)
    two = config.load(DEMO, [*chosen, ROUNDS])
    ran = tables.read("run").where(F.col("run_id") == pipeline.run(two, STAGES, connect))
    assert {(r["round"], r["stage"]) for r in ran.collect()} == {*(("more", s) for s in ROUND_STAGES), ("", "mix")}
    assert "3/9 probe: current" in (told := capsys.readouterr().err) and "4/9 more/plan: it never ran here" in told
    for table, key in (("plan", "plan_id"), ("draft", "draft_id"), ("clean", "draft_id")):
        rows = tables.read(table)
        assert rows.select(key).distinct().count() == rows.count(), table
        hashed = tables.measure(table, "round = 'main'")[0].hash
        assert hashed == first["tables"][table]["hash"], table
    slots = tables.read("plan").groupBy("seed_id").count().agg(F.max("count")).first()[0]
    assert slots <= two.plan.max_requests_per_seed
    budget = {r["round"]: r["round_tokens"] for r in tables.read("budget").select("round", "round_tokens").collect()}
    assert budget == {"main": 4500, "more": 900}
    assert {r["round"] for r in tables.read("mix").collect()} == {"", "main", "more"}
    manifest = json.loads((folder / "output" / "mix" / "manifest.json").read_text())
    assert manifest["rounds"] == ["main", "more"] and manifest["tokens_by"]["round"]["more"] > 0
    made = command_with(chosen, "reproduce", "--of", str(before), "--into", str(tmp_path / "again"))
    assert made.exit_code == 0, made.stderr  # of the first round alone, although another was added
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (before / "manifest.json").read_bytes()
    pipeline.run(two, STAGES, connect)
    assert "nothing to do" in capsys.readouterr().err
    _withdrawn_source_is_in_no_mix(two, tables, folder, chosen)
    more = [*chosen, "synthesize.sampling.top_p=0.5", ROUNDS]
    stale = command_with(more, "status", "--json")
    assert set(json.loads(stale.stdout)["not_current"]) == {"gate", "more/synthesize", "more/gate"}
    said = json.loads(command_with(more, "forecast", "--tokens", "1e6", "--json").stdout)
    assert {s["stage"] for s in said["stages"]} == {"annotate", "probe", "synthesize", "refine", "clean"}
    assert said["requests"][0] < said["requests"][1] < said["requests"][2]
    assert json.loads(command_with(more, "forecast", "--actual", "--json").stdout)["round"] == "more"
    assert tables.read("novelty").groupBy("round").count().count() == 2
    shown = command_with(more, "plan", "--json")
    assert {r["round"] for r in json.loads(shown.stdout)} == {"more"}
