"""The whole line over and over: what is current, rounds, gates that change, previews; and its grammars in vLLM's compiler."""

import json
import shutil
from functools import partial

import pytest
from pyspark.sql import functions as F

from boostqa import cli, config, pipeline, preview
from boostqa.errors import GateFailed
from boostqa.storage.warehouse import Warehouse
from boostqa.vocabulary import ROUND_STAGES, STAGES, STRATEGIES
from tests.conftest import FAST
from tests.processes import DEMO
from tests.whole_line import command, command_with, connect, executions, facts, settings


@pytest.fixture
def adaptive(spark):
    """Adaptive execution, which the tests leave out for speed: the content of tables must not depend on it."""
    spark.conf.set("spark.sql.adaptive.enabled", "true")
    yield
    spark.conf.set("spark.sql.adaptive.enabled", FAST["spark.sql.adaptive.enabled"])


@pytest.mark.engine
def test_every_constraint_lets_a_model_write_what_stem_text_needs(spark, done, first):
    """Compiled as vLLM compiles it with disable_any_whitespace (vllm/v1/structured_output/backend_xgrammar.py)."""
    xgrammar, testing = pytest.importorskip("xgrammar"), pytest.importorskip("xgrammar.testing")
    utils = pytest.importorskip("vllm.v1.structured_output.utils")
    sent = Warehouse(spark, f"{done}/warehouse").read("completion").select("structured").distinct().collect()
    constraints = [json.loads(row["structured"]) for row in sent if row["structured"]]
    assert {key for c in constraints for key in c} == {"choice", "letters", "grammar"}
    for written in (c["grammar"] for c in constraints if "grammar" in c):  # what they let through: stages/test_tags.py
        assert xgrammar.Grammar.from_ebnf(written)
    for choice in (c["choice"] for c in constraints if "choice" in c):
        grammar = xgrammar.Grammar.from_ebnf(utils.choice_as_grammar(choice))
        assert all(testing._is_grammar_accept_string(grammar, word) for word in choice)


def test_second_run_does_nothing_and_a_forced_stage_asks_nothing_and_changes_no_row(
    spark, done, first, adaptive, capsys
):
    again = partial(pipeline.run, config.load(DEMO, settings(done)), STAGES, connect)
    run_id = again()
    assert "nothing to do: seed, annotate" in capsys.readouterr().err
    assert facts(spark, done)["tables"] == first["tables"] and not executions(spark, done, run_id)
    forced = executions(spark, done, again(force=["refine"]))
    assert set(forced) == {"refine"}  # what follows finds the same rows and is current
    asked = forced["refine"]
    assert asked["requests"] == asked["reused"] > 0 and asked["generated_tokens"] == asked["engine_starts"] == 0
    after = facts(spark, done)["tables"]
    assert {t for t in after if after[t]["hash"] != first["tables"][t]["hash"]} == set()


def test_changed_gate_is_judged_again_stops_the_export_and_withdraws_the_old_one(spark, done, first, capsys):
    manifest = done / "output" / "mix" / "manifest.json"
    exported = manifest.read_text()
    strict = config.load(DEMO, [*settings(done), "gate.min_rows=100000", "gate.severity.min_rows=block"])
    with pytest.raises(GateFailed, match=r"1 of .* gates fail[\s\S]*clean: min_rows: \d+ items are left") as error:
        pipeline.run(strict, STAGES, connect)
    assert error.value.exit_code == 4 and not manifest.exists()
    assert "7/9 clean: current\n8/9 gate: changed: conf gate.min_rows, conf gate.severity\n" in capsys.readouterr().err
    ended = command(done, "run", "--from", "mix")
    assert ended.exit_code == 2
    assert "build on what is not current: gate: changed: conf gate.min_rows, conf gate.severity" in ended.stderr
    assert set(json.loads(command(done, "status", "--json").stdout)["not_current"]) == {"gate", "mix"}
    run_id = pipeline.run(config.load(DEMO, settings(done)), STAGES, connect)
    assert set(executions(spark, done, run_id)) == {"gate", "mix"}
    assert json.loads(manifest.read_text())["shards"] == json.loads(exported)["shards"]


def test_preview_shows_items_from_seed_to_text_and_writes_nothing_but_the_ledger(spark, done, first, monkeypatch):
    tables = Warehouse(spark, f"{done}/warehouse")
    before = {name: tables.version(name) for name in first["tables"] if name != "completion"}
    monkeypatch.setattr(cli.trial, "preview", partial(preview.preview, connect=connect))
    ended = command(done, "preview", "-n", "6", "--json")
    assert ended.exit_code == 0, ended.stderr
    assert {name: tables.version(name) for name in before} == before
    found = json.loads(ended.stdout)
    items, cost = found["items"], found["cost"]
    assert cost["requests"] - cost["reused"] <= cost["requests"] // 5  # later tries show what else was asked of a seed
    assert len(items) == 6 and {i["plan_id"] for i in items} <= {r["plan_id"] for r in tables.read("plan").collect()}
    assert {i["strategy"] for i in items} == set(STRATEGIES) and len({i["format"] for i in items}) >= 3
    kept = [i for i in items if not i["filters"]]
    exported = {r["document_id"]: r["text"] for r in tables.read("mix").collect()}
    assert kept and all(exported.get(i["draft_id"], i["text"]) == i["text"] for i in kept)
    assert all(i["seed"]["seed_id"] == i["seed_id"] and i["prompt"] and i["reply"] for i in items)
    assert all(i["cost"]["prompt_tokens"] > 0 and i["votes"]["answers"] for i in kept)
    assert found["gates"]


def _withdrawn_source_is_in_no_mix(conf, tables, done):
    source = tables.read("mix").groupBy("source").count().orderBy("count").first()["source"]
    exported = tables.read("mix").where(F.col("source") == source).collect()
    before = {r["document_id"] for r in exported if r["draft_ids"]}
    told = json.loads(
        command(done, "withdraw", "--source", source, "--why", "the licence was revoked", "--json").stdout
    )
    assert told["withdrawn"] == [{"kind": "source", "value": source}] and told["exported"] == len(before)
    assert told["documents"] == len(exported) - len(before) and exported
    assert {i["draft_id"] for i in told["items"] if i["exported_tokens"]} == before
    pipeline.run(conf, STAGES, connect)
    assert {r["source"] for r in tables.read("mix").select("source").distinct().collect()}.isdisjoint({source})
    assert {r["key"] for r in tables.read("reject").where("rule = 'withdrawn'").collect()} >= before
    (named,) = json.loads((done / "output" / "mix" / "manifest.json").read_text())["withdrawn"]
    assert (named["value"], named["items"]) == (source, told["clean"])


def test_a_second_round_buys_what_the_first_has_left_and_costs_the_first_nothing(spark, done, first, capsys, tmp_path):
    before = shutil.copytree(done / "output" / "mix", tmp_path / "before")
    two = config.load(DEMO, [*settings(done), "rounds=[{name: main}, {name: more, tokens: 900}]"])
    tables = Warehouse(spark, f"{done}/warehouse")
    ran = Warehouse(spark, f"{done}/warehouse").read("run").where(F.col("run_id") == pipeline.run(two, STAGES, connect))
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
    manifest = json.loads((done / "output" / "mix" / "manifest.json").read_text())
    assert manifest["rounds"] == ["main", "more"] and manifest["tokens_by"]["round"]["more"] > 0
    made = command(done, "reproduce", "--of", str(before), "--into", str(tmp_path / "again"))
    assert made.exit_code == 0, made.stderr  # of the first round alone, although another was added
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (before / "manifest.json").read_bytes()
    pipeline.run(two, STAGES, connect)
    assert "nothing to do" in capsys.readouterr().err
    _withdrawn_source_is_in_no_mix(two, tables, done)
    more = [*settings(done), "synthesize.sampling.top_p=0.5", "rounds=[{name: main}, {name: more, tokens: 900}]"]
    stale = command_with(more, "status", "--json")
    assert set(json.loads(stale.stdout)["not_current"]) == {"gate", "more/synthesize", "more/gate"}
    said = json.loads(command_with(more, "forecast", "--tokens", "1e6", "--json").stdout)
    assert {s["stage"] for s in said["stages"]} == {"annotate", "probe", "synthesize", "refine", "clean"}
    assert said["requests"][0] < said["requests"][1] < said["requests"][2]
    assert json.loads(command_with(more, "forecast", "--actual", "--json").stdout)["round"] == "more"
    assert tables.read("novelty").groupBy("round").count().count() == 2
    shown = command_with(more, "plan", "--json")
    assert {r["round"] for r in json.loads(shown.stdout)} == {"more"}
