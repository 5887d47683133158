"""The demo's model in a real engine: odd requests, a killed core, then every kind of request on the same engine host."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from math import exp

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.calls.generation import complete
from boostqa.calls.models import model_of_role
from boostqa.calls.requests import REQUEST_COLUMNS, with_request
from boostqa.prompts import Prompt
from boostqa.schemas import DRAFT, PLAN, SEED
from boostqa.stages import annotate, probe, refine, synthesize
from boostqa.vocabulary import CUT_OFF, ItemTable
from tests.processes import MODEL, alive, family, hosts, wait_until
from tests.rows import frame

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module", autouse=True)
def model():
    if not (MODEL / "config.json").exists():
        pytest.skip(f"no demo model in {MODEL}: make setup")


SAMPLING = {"chat": False, "max_tokens": 400, "ignore_eos": True}
ODD = {  # name -> prompt, what is added to SAMPLING, constraint
    "too long": ("word " * 3000, {}, None),
    "control": ("control \x00\x07\x1b characters", {}, None),
    "empty": ("", {}, None),
    "schema": ("schema", {}, '{"json": {"type": "no such type"}}'),
    "parameter": ("parameter", {"no_such_parameter": 1}, None),
    "temperature": ("temperature", {"temperature": -1}, None),
}


def test_odd_requests_fail_alone_and_a_killed_core_costs_one_attempt(spark, new_stage, worker_folder):
    usual = {f"usual {i}": (f"Count to ten, please, for the {i}th time: one,", {}, None) for i in range(6)}
    circle = {"circle": ("la " * 60, {"temperature": 0.0}, None)}
    rows = [(name, words, json.dumps(SAMPLING | more), c) for name, (words, more, c) in (ODD | usual | circle).items()]
    frame = spark.createDataFrame(rows, "name string, words string, settings string, constraint string")
    stage = new_stage(run_id="odd")
    spec, template = model_of_role(stage.config, "generator"), Prompt("t", {"en": "x"})
    requests = with_request(frame, "synthesize", spec, template, F.col("words"), structured=F.col("constraint"))
    requests = requests.withColumn("sampling", F.col("settings"))
    with ThreadPoolExecutor() as pool:
        killed = pool.submit(_kill_core_at_work, worker_folder)
        completions = complete(stage, requests, spec)
        assert killed.result()
    answers = completions.select("request_id", "finish_reason", "error", "attempts", "generated_tokens")
    found = {r["name"]: r for r in requests.select("name", "request_id").join(answers, "request_id").collect()}
    assert found["too long"]["error"].startswith("prompt_too_long")
    reasons = {name: found[name]["finish_reason"] for name in ODD if name != "control"}
    assert {name for name, reason in reasons.items() if reason == "refused"} == {"too long", "empty"}
    assert set(reasons.values()) == {"refused", "failed"}  # settings may change, and are asked again
    assert found["control"]["finish_reason"] in ("stop", "length")
    done = [row for name, row in found.items() if name.startswith("usual")]
    assert len(done) == 6 and {row["finish_reason"] for row in done} <= set(CUT_OFF)
    assert found["circle"]["finish_reason"] == "repetition" and found["circle"]["generated_tokens"] < 400
    assert stage.usage.counts["engine_starts"] == 2 and max(row["attempts"] for row in done) == 2


def _kill_core_at_work(folder):
    """Kill the engine's core as soon as its host says in its log that it generates; whether there was one to kill."""
    wait_until(lambda: any("at work" in log.read_text(errors="replace") for log in folder.glob("boostqa-*/*.log")))
    cores = [process for process in family(folder) if "EngineCore" in " ".join(process.cmdline())]
    for core in cores:
        core.kill()
    return len(cores) == 1


ITEM = (
    "item_id string, lang string, text string, question string, choices array<string>, answer string, discipline string,"
    " difficulty string"
)


def _asked(spark, plan, seed_id, text, spec, conf):
    """Synthesis requests on one passage."""
    labels = spark.createDataFrame([], "seed_id string, discipline string, difficulty string")
    seeds = frame(spark, SEED, {"seed_id": seed_id, "text": text})
    rows = synthesize.with_material(frame(spark, PLAN, *plan), seeds, labels, conf)
    return synthesize.requests(rows, spark.createDataFrame([], "seed_id string, asked array<string>"), spec, conf)


def test_labels_likelihoods_and_drafts_come_from_the_same_engine(spark, new_stage):
    stage = new_stage(run_id="kinds")
    spec, conf = model_of_role(stage.config, "generator"), stage.config
    question, options = "Which force keeps the planets on their paths?", ["friction", "gravity", "magnetism", "wind"]
    row = ("i", "en", "Gravity pulls every mass towards every other.", question, options, "B", "0533", "H2")
    items = spark.createDataFrame([row], ITEM)
    plan = [
        {"plan_id": format, "seed_id": "i", "format": format, "strategy": strategy, "grade": "H4", "discipline": "0533"}
        | {"lever": "several_steps" if strategy == "high_difficulty" else None}
        for format, strategy in (("multiple_choice", "multi_grade"), ("calculation", "high_difficulty"))
    ]
    labels = annotate.requests(annotate.items_of(items, "item_id"), "annotate", spec, conf.annotate)
    letters, cloze, reference = (
        ask(items, spec) for ask in (probe.letter_requests, probe.cloze_requests, probe.reference_requests)
    )
    drafts = _asked(spark, plan, "i", row[2], spec, conf.synthesize)
    requests = [r.select(*REQUEST_COLUMNS) for r in (labels, letters, cloze, reference, drafts)]
    completions = complete(stage, reduce(DataFrame.unionByName, requests), spec).cache()
    assert stage.usage.counts["engine_starts"] == 0  # found by its socket
    assert (stage.usage.counts["requests"], stage.usage.counts["failed"]) == (2 + 3 + 1 + 4 + 2, 0)
    parsed = annotate.parse(labels, completions, conf.annotate)
    kept, rejects = annotate.labels_and_rejects(parsed, ItemTable.SEED, "annotate")
    assert kept.count() + rejects.count() == 1  # a label out of the constraint, or "cannot tell"
    for picks in (probe.letter_picks(letters, completions), probe.cloze_picks(cloze, completions)):
        assert picks.first()["pick"] in ("A", "B", "C", "D")
    assert probe.reference_bits(reference, completions).first()["bits_per_byte"] > 0  # the request of option B
    scored = completions.where(f"run_id = '{stage.run_id}' and finish_reason = 'scored'")
    assert [r["cached_tokens"] for r in scored.collect()] == [0] * 5  # though their prompts begin alike
    tries = synthesize.tried(drafts, completions)
    parsed, unusable = synthesize.drafts_and_rejects(tries, conf.synthesize)
    assert parsed.count() + unusable.count() == 2
    reasons = {r["rule"] for r in unusable.collect()}
    assert reasons <= {
        "truncated",
        "choices_invalid",
        "unparsable",
        "broken_text",
        "refusal",
        "copies_seed",
        "copies_prompt",
    }  # never its grammar
    asked = completions.where(f"run_id = '{stage.run_id}'")
    assert {r["finish_reason"] for r in asked.collect()} <= {"stop", "length", "repetition", "scored"}
    assert asked.where("finish_reason = 'stop' and structured like '%choice%' and not logprob <= 0").count() == 0


def test_a_label_has_its_probability_among_all_labels_also_where_they_share_tokens(spark, new_stage):
    stage = new_stage(run_id="labels")
    rows = spark.createDataFrame([("zh", "zh", "力等于质量乘以加速度。")], "item_id string, lang string, text string")
    spec = model_of_role(stage.config, "generator")
    asked = annotate.requests(annotate.items_of(rows, "item_id"), "annotate", spec, stage.config.annotate)
    complete(stage, asked, spec)
    said = asked.select("request_id", "label").join(stage.warehouse.read("completion"), "request_id").collect()
    for label, row in ((r["label"], r) for r in said):
        scores = row["choice_logprobs"]
        assert scores.keys() == annotate.labels(label, "zh").keys()
        assert sum(map(exp, scores.values())) == pytest.approx(1, abs=1e-6)
        assert row["logprob"] == max(scores.values()) == scores[row["text"]]
    most = max(r["generated_tokens"] for r in said)
    assert most > 1  # Chinese labels begin with the same bytes in this vocabulary


def test_a_model_writes_latex_in_a_constrained_field(spark, new_stage):
    stage = new_stage(run_id="latex")
    spec, half = model_of_role(stage.config, "generator"), r"$\frac{1}{2} + \frac{1}{2}"
    draft = f"<question>What is {half}$?</question>\n<solution>{half} = 1$</solution>\n<answer>1</answer>\n"
    attempt = draft.partition("\n")[2]
    plan = [{"plan_id": "p", "seed_id": "s", "format": "short_answer", "strategy": "multi_grade"}]
    drafts = _asked(spark, plan, "s", "Sums.", spec, stage.config.synthesize).select("structured")
    blind = refine.blind_requests(frame(spark, DRAFT, {"draft_id": "d"}), spec, stage.config.refine).limit(1)
    rows = drafts.withColumn("words", F.lit(draft * 4)).union(blind.select("structured", F.lit(attempt * 4)))
    settings = F.lit(json.dumps({"chat": False, "max_tokens": 200, "temperature": 0}))
    asked = with_request(rows, "synthesize", spec, Prompt("t", {"en": "x"}), F.col("words"),
                         structured=F.col("structured")).withColumn("sampling", settings)  # fmt: skip
    completions = complete(stage, asked.select(*REQUEST_COLUMNS), spec)
    replies = [r["text"] for r in completions.where(f"run_id = '{stage.run_id}'").collect()]
    assert len(replies) == 2 and all(r"\frac{1}{2}" in text for text in replies)


def test_killed_host_leaves_no_process_of_vllm(worker_folder):
    [host] = hosts(worker_folder)
    processes = family(worker_folder)
    assert len(processes) >= 3  # host, core, worker
    host.kill()
    wait_until(lambda: not alive(processes))
