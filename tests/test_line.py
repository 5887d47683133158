"""The whole line once, with an engine that answers at once, in the session of the tests: its tables and its export; then over
and over: what is current, gates that change, previews; and its grammars in vLLM's compiler."""

import json
import shutil
from functools import partial
from pathlib import Path
from runpy import run_path

import pandas as pd
import pytest
from delta.tables import DeltaTable
from pyspark.sql import functions as F
from typer.testing import CliRunner

from boostqa import basis, cli, config, pipeline, preview
from boostqa.errors import GateFailed
from boostqa.report.page import ITEMS
from boostqa.report.status import collect
from boostqa.schemas import TABLES
from boostqa.storage.warehouse import EXPORTED_FROM, Warehouse
from boostqa.vocabulary import STAGES, STRATEGIES
from tests.conftest import FAST
from tests.processes import DEMO, ROOT
from tests.whole_line import command, command_with, connect, executions, settings


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
    assert mix[mix["component"] != "web"]["text"].str.contains("(?i)answer|答案").all() and mix["layout"].nunique() >= 3
    assert set(mix["lang"]) == {"en", "zh"} and set(manifest["components"]) == {"made", "questions", "web"}
    assert manifest["documents"] == len(mix) and manifest["components"]["questions"]["taken"] > 0
    page = (done / "output" / "quality" / "verdicts.html").read_text()
    assert "http://" not in page and "https://" not in page
    causes = {r["cause"]: r["tokens"] for r in first["token_usage"]["causes"]}
    assert causes["kept"] > 0 and causes["label"] > 0 and causes["vote"] > 0
    assert causes["control"] > 0
    assert first["token_usage"]["outside"] == {"completions": 0, "prompt_tokens": 0, "tokens": 0}


def test_controls_travel_the_line_are_measured_and_never_exported(spark, done):
    tables = Warehouse(spark, f"{done}/warehouse")
    controls = tables.read("control").collect()
    made = {r["draft_id"]: r["defect"] for r in controls if r["stage"] == "synthesize"}
    assert len(made) == 100 and len(set(made.values())) >= 12
    assert not made.keys() & {r[0] for r in tables.read("mix").select(F.explode("draft_ids")).collect()}
    for table in ("draft", "refined", "clean", "contamination"):
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
    assert ("seed", "probe", "items") in conf_reads


def test_jobs_say_what_they_read_and_write(first):
    for row in first["stages"]:
        [file] = (ROOT / "jobs").glob(f"*_{row['stage']}.py")
        job = run_path(str(file))
        ledger = {"completion"} if row["requests"] else set()  # of its model calls
        read = set(job["READS"]) | (set(job.get("READS_EARLIER", ())) if row["stage"] == "mix" else set())
        assert set(row["inputs"]) - ledger == (read & set(TABLES)) - ledger, file.name
        assert set(row["outputs"]) == set(job["WRITES"]) & set(TABLES), file.name


def test_status_as_json_is_what_the_tables_say_and_the_report_of_the_run_too(done, first):
    ended = command(done, "status", "--json")
    assert ended.exit_code == 0
    status = json.loads(ended.stdout)
    assert status["tables"] == first["tables"] and status["not_current"] == {}
    quick = json.loads(command(done, "status", "--quick", "--json").stdout)  # without Spark: as the run's end left it
    later = ("not_current", "running")  # not looked at; the age of a sign of life
    assert {k: v for k, v in quick.items() if k not in later} == {k: v for k, v in status.items() if k not in later}
    assert quick["gates"] and quick["running"]["now"] is None and quick["running"]["failed"] == {}
    report = (done / "output" / "report.html").read_text(encoding="utf-8")
    assert f'id="kept-tokens">{status["kept_tokens"]:,}</dd>' in report
    assert all(f"{row['tokens']:,}</td>" in report for row in status["token_usage"]["causes"])
    assert report.count('data-kind="item"') == ITEMS and report.count('data-fate="kept"') >= ITEMS // 2


def test_a_student_answers_what_is_left_for_the_mix(spark, done, first):
    rows = Warehouse(spark, f"{done}/warehouse").read("student").collect()
    assert len(rows) == first["tables"]["clean"]["rows"] and {r["attempts"] for r in rows} == {2}
    assert sum(r["passed"] for r in rows) > len(rows)  # the scholar knows
    assert first["difficulty"]["student"]["items"] == len(rows)


def test_explain_tells_the_story_of_an_exported_row_from_its_place_in_a_file(done):
    [shard, *_] = sorted((done / "output" / "mix" / "parquet").iterdir())
    rows = pd.read_parquet(shard)
    at = max(n for n, made in enumerate(rows["draft_ids"]) if len(made))
    item, place = rows["document_id"].iloc[at], f"{shard}:{at}"
    story = json.loads(command(done, "explain", place, "--json").stdout)
    assert story["draft"]["draft_id"] == story["mix"][0]["draft_id"] == item
    assert story["seed"][0]["seed_id"] == story["draft"]["seed_id"] and story["reject"] == []
    assert story["completion"][0]["prompt"] and story["plan"][0]["grade"] == story["draft"]["grade"]
    templates = {c["template"].partition("_")[0] for c in story["completion"]}
    assert {"blind", "rewrite"} <= templates and len(story["completion"]) == story["cost"]["requests"]
    assert story["budget"][0]["discipline"] == story["draft"]["discipline"] and story["verdict"]
    lines = f"jsonl/{shard.name.replace('.parquet', '.jsonl.zst')}"
    screen = command(done, "explain", f"{lines}:{at}").stdout
    assert screen.startswith(f"{item}: in the mix as made, shard ")
    seed = story["seed"][0]
    for told in (
        f"{seed['file']}:{seed['line']}",
        seed["licence"],
        "cell ",
        "sampling",
        "blind",
        " hold",
        "engine seconds",
    ):
        assert told in screen.replace("\n", " ") or told in "".join(line.strip() for line in screen.split("\n")), told
    short = command(done, "explain", item[:16], "--json")
    assert json.loads(short.stdout)["draft"]["draft_id"] == item
    asked = next(r for _, r in pd.read_parquet(shard.parent).iterrows() if r["component"] == "questions")
    assert len(asked["draft_ids"]) == 0 and asked["document_id"] == asked["seed_id"]
    of_seed = command(done, "explain", asked["document_id"]).stdout
    assert of_seed.startswith(f"{asked['seed_id']}: a seed, in the mix as questions, shard ") and "labels" in of_seed
    past = command(done, "explain", f"{lines}:{len(rows)}")
    assert past.exit_code == 2 and f"the file has {len(rows)} rows, 0 to {len(rows) - 1}" in past.stderr
    other = command(done, "explain", "parquet/part-00000-of-00099.parquet:0")
    assert other.exit_code == 2 and "no such file in the export" in other.stderr


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_export_is_made_again_byte_for_byte_and_held_against_its_manifest(done, tmp_path):
    exported, again = done / "output" / "mix", tmp_path / "again"
    ended = command(done, "reproduce", "--into", str(again))
    assert ended.exit_code == 0, ended.stderr
    assert contents(again) == contents(exported) and "byte for byte" in ended.stdout
    assert {file.partition("/")[0] for file in contents(again)} == {
        "parquet", "jsonl", "megatron", "manifest.json", "README.md", "croissant.json",
    }  # fmt: skip
    verify = partial(CliRunner().invoke, cli.app)
    assert verify(["verify", str(again)]).exit_code == 0
    [first, *_] = sorted((again / "jsonl").iterdir())
    whole = first.read_bytes()
    first.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    broken = verify(["verify", str(again)])
    assert broken.exit_code == 3 and f"jsonl/{first.name}: sha256" in broken.stderr
    first.unlink()
    (again / "README.md").write_text("mine")
    assert "README.md: sha256" in (told := verify(["verify", str(again)]).stderr) and "(and 1 more)" in told
    lost = command(done, "reproduce", "--into", str(again))
    assert lost.exit_code == 2 and "it holds an export" in lost.stderr
    nothing = verify(["verify", str(tmp_path)])
    assert nothing.exit_code == 2 and "this is no finished export" in nothing.stderr


def test_export_is_made_again_after_a_vacuum_and_refused_with_the_reason_where_it_cannot_be(spark, done, tmp_path):
    other = tmp_path / "tokenizer.json"
    other.write_text(Path(config.load(DEMO).tokenizer).joinpath("tokenizer.json").read_text() + " ")
    refused = command_with([*settings(done), f"tokenizer={other}"], "reproduce", "--into", str(tmp_path / "x"))
    assert refused.exit_code == 2 and "is not the one of the export" in refused.stderr
    for name in EXPORTED_FROM:
        shutil.copytree(done / "warehouse" / name, tmp_path / "warehouse" / name)
    table, of = DeltaTable.forPath(spark, f"{tmp_path}/warehouse/clean"), ("--of", str(done / "output" / "mix"))
    table.delete()
    table.vacuum()  # keeps what the table's own retention says
    vacuumed = [*settings(done), f"warehouse={tmp_path}/warehouse"]
    made = command_with(vacuumed, "reproduce", *of, "--into", str(tmp_path / "again"))
    assert made.exit_code == 0 and contents(tmp_path / "again") == contents(done / "output" / "mix")
    spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    table.vacuum(0)
    spark.conf.unset("spark.databricks.delta.retentionDurationCheck.enabled")
    gone = command_with(vacuumed, "reproduce", *of, "--into", str(tmp_path / "y"))
    assert gone.exit_code == 2 and "no longer in" in gone.stderr and "VACUUM" in gone.stderr
    assert not (tmp_path / "y" / "manifest.json").exists()


def test_a_stage_is_made_again_for_every_key_of_the_conf_that_it_reads(done, conf_reads):
    known = {stage: set(keys) for stage, keys in basis._CONF.items()}
    assert len(conf_reads) > 50
    assert {
        (s, section, key) for s, section, key in conf_reads if not {section, f"{section}.{key}"} & known[s]
    } == set()


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
    tables, run_id = Warehouse(spark, f"{done}/warehouse"), again()
    assert "nothing to do: seed, annotate" in capsys.readouterr().err
    assert collect(tables)["tables"] == first["tables"] and not executions(tables, run_id)
    forced = executions(tables, again(force=["refine"]))
    assert set(forced) == {"refine"}  # what follows finds the same rows and is current
    asked = forced["refine"]
    assert asked["requests"] == asked["reused"] > 0 and asked["generated_tokens"] == asked["engine_starts"] == 0
    after = collect(tables)["tables"]
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
    assert set(executions(Warehouse(spark, f"{done}/warehouse"), run_id)) == {"gate", "mix"}
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
