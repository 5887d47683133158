"""Jobs 1 and 7 hold probe items out: none becomes a seed, and what shares text with one does not reach the mix."""

import json

import pytest

from boostqa import config, pipeline
from boostqa.schemas import REFINED, SEED
from boostqa.storage.warehouse import Warehouse
from boostqa.tracking.stage_run import StageRun
from tests.processes import DEMO
from tests.rows import SHA, frame

CLOSED = "Which gas do green plants take up from the air when they make sugar in the light?"
OPEN = "Prove that the sum of the angles of every triangle in the plane is equal to two right angles."
OWN = "Why does a ship of steel float on water although a steel nail sinks in the same water at once?"


@pytest.fixture
def run(spark, tmp_path):
    """run(stage, prepare): a job on its own warehouse, with a closed and an open probe item; returns the warehouse."""
    items = [
        {"id": "closed", "question": CLOSED, "choices": ["Oxygen", "Carbon dioxide"], "answer": "B"},
        {"id": "open", "question": OPEN, "choices": None, "answer": "Draw the parallel to one side."},
    ]
    seeds = [CLOSED, f"A teacher wrote on the board: {OPEN} Nobody knew how.", OWN]
    for name, rows in {"items": items, "seeds": [{"id": str(n), "question": q} for n, q in enumerate(seeds)]}.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = f"path: {tmp_path}/items.jsonl, kind: qa, lang: en"
    seed = f"name: s, path: {tmp_path}/seeds.jsonl, kind: qa, lang: en, licence: MIT"
    settings = [
        f"warehouse={tmp_path}/w",
        f"probe.items=[{{name: held, {asked}, fields: {{id: id, question: question, choices: choices, answer: answer}}}}]",
        f"seed.sources=[{{{seed}, fields: {{doc_id: id, question: question}}}}]",
    ]

    def execute(name, prepare=lambda tables: None):
        conf = config.load(DEMO, settings)
        tables = Warehouse(spark, conf.warehouse)
        prepare(tables)
        stage = StageRun(spark, conf, name, "r1", tables)
        pipeline.job(name)(stage)
        stage.discard_stored()
        return tables

    return execute


def test_probe_items_closed_and_open_are_no_seeds_and_texts_with_them_neither(run):
    tables = run("seed")
    assert [r["question"] for r in tables.read("seed").collect()] == [OWN]
    rejects = sorted((r["rule"], r["evidence"]) for r in tables.read("reject").collect())
    assert [rule for rule, _ in rejects] == ["contaminated", "probe_item"]
    assert "held" in rejects[0][1] and CLOSED in rejects[1][1]


def test_drafts_that_share_text_with_a_probe_item_closed_or_open_are_contaminated(run, spark):
    drafts = {"a": CLOSED, "b": f"{OPEN} Give two ways.", "c": OWN}

    def prepare(tables):
        rows = [
            {"draft_id": SHA[:-1] + name, "question": text, "answer": "x", "solution": "So it is."}
            for name, text in drafts.items()
        ]
        tables.write("seed", frame(spark, SEED, {}))
        tables.write("refined", frame(spark, REFINED, *rows))
        tables.create("completion")

    found = run("clean", prepare).read("contamination").collect()
    assert {(r["draft_id"][-1], r["benchmark"], r["benchmark_item"]) for r in found} == {
        ("a", "held", "closed"), ("b", "held", "open")
    }  # fmt: skip
