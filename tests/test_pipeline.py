"""The whole line once, with an engine that answers at once, in the session of the tests; and what stops it early."""

import json
import shutil
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pandas as pd
import pytest
from delta.tables import DeltaTable
from pyspark.sql import functions as F
from typer.testing import CliRunner

from boostqa import basis, cli, config, pipeline
from boostqa.errors import GateFailed
from boostqa.report.page import ITEMS
from boostqa.schemas import TABLES
from boostqa.storage.warehouse import EXPORTED_FROM, Warehouse
from boostqa.vocabulary import STAGES
from tests.processes import DEMO, ROOT
from tests.whole_line import command, command_with, settings


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
    assert {(stage, "probe", "items") for stage in ("seed", "synthesize", "clean")} <= conf_reads


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
