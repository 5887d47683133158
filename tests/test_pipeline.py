"""The whole pipeline with an engine that answers at once, in the session of the tests; and what stops it early."""

import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pandas as pd
import pytest
from pyspark.sql import functions as F
from typer.testing import CliRunner

from boostqa import basis, cli, config, pipeline, preview
from boostqa.config.base import Section
from boostqa.errors import GateFailed
from boostqa.report.status import collect
from boostqa.schemas import TABLES
from boostqa.storage.warehouse import Warehouse
from boostqa.vocabulary import ROUND_STAGES, STAGES, STRATEGIES
from tests import held_out
from tests.conftest import FAST
from tests.fakes import EchoEngine, known_sums, scholar
from tests.processes import DEMO, ROOT


def connect(settings):
    return EchoEngine(scholar)


def settings(folder):
    fields = ", ".join(f"{name}: {name}" for name in ("id", "question", "choices", "answer", "solution"))
    known = f"[{{name: sums, path: {folder}/known.jsonl, kind: qa, lang: en, fields: {{{fields}}}}}]"
    places = [f"warehouse={folder}/warehouse", f"output={folder}/output"]
    roles = [f"model.{role}={config.load(DEMO).tokenizer}" for role in ("fluency", "student")]
    # What these few controls and this voter do not show is no matter here: the flow is.
    unproven = ("precision", "negatives_stopped", "each_defect_stopped", "judge_tells_apart")
    warns = [f"gate.severity.{gate}=warn" for gate in unproven]
    warns += held_out.settings(folder, config.load(DEMO))
    return [
        *warns,
        "plan.tokens=4500",
        f"controls.sources={known}",
        "controls.count=100",
        *places,
        *roles,
        "clean.student_attempts=2",
    ]


def facts(spark, folder):
    return collect(Warehouse(spark, f"{folder}/warehouse"))


@pytest.fixture(scope="module")
def conf_reads():
    """(stage, section, key) of the conf that the stages of `done` read, but for how and where they run."""
    return set()


def watch_conf(patch, seen):
    """Note in `seen` what a job reads of the conf."""
    sections = {
        type(value).__name__: name
        for name, value in config.load(DEMO)
        if name in set().union(*map(sections_of, basis._CONF.values()))
    }
    stage, plain, job = [], Section.__getattribute__, pipeline.job

    def read(self, key):
        if stage and type(self).__name__ in sections and key in type(self).model_fields:
            seen.add((stage[0], sections[type(self).__name__], key))
        return plain(self, key)

    def watched(name):
        def main(run):
            stage.append(name)
            try:
                job(name)(run)
            finally:
                stage.clear()

        return main

    patch.setattr(Section, "__getattribute__", read)
    patch.setattr(pipeline, "job", watched)


def sections_of(keys):
    return {key.partition(".")[0] for key in keys}


@pytest.fixture(scope="module")
def done(spark, tmp_path_factory, conf_reads):
    """The folder of a pipeline that ran once over the demo's input."""
    if not Path(config.load(DEMO).tokenizer).exists():
        pytest.skip("no tokenizer of the demo's model: make setup")
    folder = tmp_path_factory.mktemp("pipeline")
    (folder / "known.jsonl").write_text("\n".join(map(json.dumps, known_sums(100))))
    held_out.write(folder)
    with pytest.MonkeyPatch.context() as patch:
        watch_conf(patch, conf_reads)
        pipeline.run(config.load(DEMO, settings(folder)), STAGES, connect)
    return folder


@pytest.fixture(scope="module")
def first(spark, done):
    """What the tables say after the first run."""
    return facts(spark, done)


@pytest.fixture
def adaptive(spark):
    """Adaptive execution, which the tests leave out for speed: the content of tables must not depend on it."""
    spark.conf.set("spark.sql.adaptive.enabled", "true")
    yield
    spark.conf.set("spark.sql.adaptive.enabled", FAST["spark.sql.adaptive.enabled"])


def test_all_stages_run_rows_balance_and_the_mix_is_readable(done, first):
    assert [s["stage"] for s in first["stages"]] == list(STAGES)
    for row in first["stages"]:
        assert row["rows_in"] + row["fan_out"] == row["kept"] + row["rejected"], row["stage"]
    rejected = {s["stage"]: s["rejected_by_rule"] for s in first["stages"]}
    for rule in ("malformed", "licence_not_allowed", "licence_missing", "duplicate", "figure_only", "contaminated"):
        assert rejected["seed"][rule] >= 1
    assert rejected["synthesize"]["truncated"] >= 1
    manifest = json.loads((done / "output" / "mix" / "manifest.json").read_text())
    mix = pd.read_parquet(done / "output" / "mix" / "parquet")
    assert len(mix) == manifest["rows"] == first["tables"]["mix"]["rows"] >= 10
    assert mix["text"].str.contains("Answer: |答案：").all()
    assert set(mix["lang"]) == {"en", "zh"}
    page = (done / "output" / "quality" / "verdicts.html").read_text()
    assert "http://" not in page and "https://" not in page
    causes = {r["cause"]: r["tokens"] for r in first["token_usage"]["causes"]}
    assert causes["kept"] > 0 and causes["label"] > 0 and causes["vote"] > 0
    assert causes["control"] > 0
    assert first["token_usage"]["outside"] == {"completions": 0, "prompt_tokens": 0, "tokens": 0}


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


def test_controls_travel_the_line_are_measured_and_never_exported(spark, done):
    tables = Warehouse(spark, f"{done}/warehouse")
    controls = tables.read("control").collect()
    made = {r["draft_id"]: r["defect"] for r in controls if r["stage"] == "synthesize"}
    assert len(made) == 100 and len(set(made.values())) >= 12
    for table in ("draft", "refined", "clean", "contamination", "mix"):
        assert not made.keys() & {r["draft_id"] for r in tables.read(table).select("draft_id").collect()}, table
    assert not made.keys() & {r["key"] for r in tables.read("reject").select("key").collect()}
    power = {(r["check"], r["defect"]): r for r in tables.read("power").collect()}
    assert power["line", "none"]["share"] > 0.6 and power["voter", "none"]["wilson_low"] > 0.5
    wrong = [power["line", d] for d in ("writer_error", "wrong_answer") if ("line", d) in power]
    assert sum(r["items"] for r in wrong) >= 3 and sum(r["passed"] for r in wrong) <= 1
    assert power["line", "benchmark_leak"]["passed"] == power["line", "seed_copy"]["passed"] == 0


def test_probe_items_open_ones_too_are_scored_are_no_seeds_and_join_decontamination(spark, done, conf_reads):
    tables = Warehouse(spark, f"{done}/warehouse")
    reference = tables.read("probe").where("method = 'reference'").agg(F.sum("items"), F.count("shrunk")).first()
    assert tuple(reference) == (65, 0)  # 64 of the demo and the open one
    assert tables.read("probe").where("method = 'letter' and not shrunk between 0 and 1").count() == 0
    rejects = {r["rule"]: r["evidence"] for r in tables.read("reject").where("key like 'copies:%'").collect()}
    assert set(rejects) == {"probe_item", "contaminated"} and "open" in rejects["contaminated"]
    assert [r["question"][:10] for r in tables.read("seed").where("source = 'copies'").collect()] == ["Why does a"]
    assert {(stage, "probe", "items") for stage in ("seed", "synthesize", "clean")} <= conf_reads


def test_jobs_say_what_they_read_and_write(first):
    for row in first["stages"]:
        [file] = (ROOT / "jobs").glob(f"*_{row['stage']}.py")
        job = run_path(str(file))
        ledger = {"completion"} if row["requests"] else set()  # of its model calls
        read = set(job["READS"]) | (set(job.get("READS_EARLIER", ())) if row["stage"] == "mix" else set())
        assert set(row["inputs"]) - ledger == (read & set(TABLES)) - ledger, file.name
        assert set(row["outputs"]) == set(job["WRITES"]) & set(TABLES), file.name


def command(done, *words):
    """A command in this process, on the warehouse in `done`."""
    return command_with(settings(done), *words)


def command_with(chosen, *words):
    options = [x for setting in chosen for x in ("--set", setting)]
    return CliRunner().invoke(cli.app, [words[0], "--config", DEMO, *options, *words[1:]])


def test_status_as_json_is_what_the_tables_say(done, first):
    ended = command(done, "status", "--json")
    assert ended.exit_code == 0
    assert json.loads(ended.stdout)["tables"] == first["tables"]


def test_a_student_answers_what_is_left_for_the_mix(spark, done, first):
    rows = Warehouse(spark, f"{done}/warehouse").read("student").collect()
    assert len(rows) == first["tables"]["clean"]["rows"] and {r["attempts"] for r in rows} == {2}
    assert sum(r["passed"] for r in rows) > len(rows)  # the scholar knows
    assert first["difficulty"]["student"]["items"] == len(rows)


def test_explain_tells_the_story_of_an_exported_item(done):
    item = pd.read_parquet(done / "output" / "mix" / "parquet")["draft_id"].iloc[0]
    ended = command(done, "explain", item[:16])
    assert ended.exit_code == 0
    story = json.loads(ended.stdout)
    assert story["draft"]["draft_id"] == story["mix"][0]["draft_id"] == item
    assert story["seed"][0]["seed_id"] == story["draft"]["seed_id"] and story["reject"] == []
    assert story["completion"][0]["prompt"] and story["plan"][0]["grade"] == story["draft"]["grade"]


def executions(spark, done, run_id):
    """Stage -> row of table `run`, of one run."""
    rows = Warehouse(spark, f"{done}/warehouse").read("run").where(F.col("run_id") == run_id).collect()
    return {row["stage"]: row for row in rows}


@pytest.mark.line
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


@pytest.mark.line
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


def test_a_stage_is_made_again_for_every_key_of_the_conf_that_it_reads(done, conf_reads):
    known = {stage: set(keys) for stage, keys in basis._CONF.items()}
    assert len(conf_reads) > 50
    assert {
        (s, section, key) for s, section, key in conf_reads if not {section, f"{section}.{key}"} & known[s]
    } == set()


@pytest.mark.line
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
    exported = {r["draft_id"]: r["text"] for r in tables.read("mix").collect()}
    assert kept and all(exported.get(i["draft_id"], i["text"]) == i["text"] for i in kept)
    assert all(i["seed"]["seed_id"] == i["seed_id"] and i["prompt"] and i["reply"] for i in items)
    assert all(i["cost"]["prompt_tokens"] > 0 and i["votes"]["answers"] for i in kept)
    assert found["gates"]


@pytest.mark.parametrize("error", [GateFailed("min_rows"), None])
def test_token_usage_is_written_after_the_stages_and_never_hides_why_they_stopped(spark, tmp_path, monkeypatch, error):
    def stages(*_):
        if error:
            raise error

    def usage(tables, run_id):
        written.append(run_id)
        if error:
            raise RuntimeError("no usage")
        return {}

    written = []
    fresh = SimpleNamespace(
        refuse_gaps=lambda _: None, why_not=lambda _: "it never ran here", conf_hash="", last={}, steps=[]
    )
    monkeypatch.setattr(pipeline.status, "collect", lambda _: {})
    monkeypatch.setattr(pipeline.status, "show", lambda *_: None)
    monkeypatch.setattr(pipeline, "Freshness", lambda *_: fresh)
    monkeypatch.setattr(pipeline, "preflight", lambda config: None)
    monkeypatch.setattr(pipeline, "spark_session", lambda *_: spark)
    monkeypatch.setattr(pipeline, "pipeline_mlflow_run", lambda *_: nullcontext("nowhere"))
    monkeypatch.setattr(pipeline, "log_token_usage", lambda tokens: None)
    monkeypatch.setattr(pipeline, "_run_steps", stages)
    monkeypatch.setattr(pipeline, "write_token_usage", usage)
    conf = config.load(DEMO, [f"warehouse={tmp_path}/w", f"output={tmp_path}/o"])
    with pytest.raises(GateFailed, match="min_rows") if error else nullcontext():
        pipeline.run(conf, ["gate"])
    assert len(written) == 1


@pytest.mark.line
def test_a_second_round_buys_what_the_first_has_left_and_costs_the_first_nothing(spark, done, first, capsys):
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
    assert {r["round"] for r in tables.read("mix").collect()} == {"main", "more"}
    manifest = json.loads((done / "output" / "mix" / "manifest.json").read_text())
    assert manifest["rounds"] == ["main", "more"] and manifest["tokens_by"]["round"]["more"] > 0
    pipeline.run(two, STAGES, connect)
    assert "nothing to do" in capsys.readouterr().err
    more = [*settings(done), "synthesize.sampling.top_p=0.5", "rounds=[{name: main}, {name: more, tokens: 900}]"]
    stale = command_with(more, "status", "--json")
    assert set(json.loads(stale.stdout)["not_current"]) == {"gate", "more/synthesize", "more/gate"}
    said = json.loads(command_with(more, "forecast", "--tokens", "1e6", "--json").stdout)
    assert {s["stage"] for s in said["stages"]} == {"annotate", "probe", "synthesize", "refine"}
    assert said["requests"][0] < said["requests"][1] < said["requests"][2]
    assert json.loads(command_with(more, "forecast", "--actual", "--json").stdout)["round"] == "more"
    assert tables.read("novelty").groupBy("round").count().count() == 2
    shown = command_with(more, "plan", "--json")
    assert {r["round"] for r in json.loads(shown.stdout)} == {"more"}
