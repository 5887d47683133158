"""`boostqa distil`, `boostqa scorecard` and the annotate stage that asks the distilled annotator."""

import json
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boostqa import cli, config, distilled, freshness, score_annotators
from boostqa.basis import basis
from boostqa.errors import ConfigError
from boostqa.rounds import Step
from boostqa.train_annotator import train
from tests.fakes import EchoEngine, scholar
from tests.processes import DEMO

WORDS = {
    "college_physics": "force mass velocity energy momentum gravity friction charge field wave",
    "high_school_us_history": "king war empire treaty revolution colony president congress slavery reform",
}


def write_items(file, word_of, count=20):
    """Questions of two subjects, each of other words; a level where the subject's name says one."""
    rows = []
    for subject, words in WORDS.items():
        many = words.split()
        for n in range(count):
            text = f"What did the {many[n % 10]} and the {many[(3 * n + 1) % 10]} do to {word_of} number {n}?"
            rows.append({"id": f"{subject}-{n}", "subject": subject, "question": text, "lang": "en"})
    file.write_text("\n".join(map(json.dumps, rows)))


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    if not Path(config.load(DEMO).tokenizer).exists():
        pytest.skip("no tokenizer of the demo's model: make setup")
    folder = tmp_path_factory.mktemp("annotators")
    write_items(folder / "taught.jsonl", "a")
    write_items(folder / "asked.jsonl", "one", count=6)
    fields = "{id: id, subject: subject, question: question, lang: lang}"

    def source(name):
        return f"[{{name: {name}, path: {folder}/{name}.jsonl, kind: qa, fields: {fields}}}]"

    return [
        *(f"warehouse={folder}/warehouse", f"output={folder}/output", "clean.min_similarity=1.0"),
        *(f"distil.sources={source('taught')}", f"scorecard.sources={source('asked')}"),
        *("distil.features=1024", "distil.held_out=0.3", "distil.regularisation=0.001", "annotate.min_probability=0.5"),
    ]


@pytest.fixture(scope="module")
def trained(spark, settings):
    return train(config.load(DEMO, settings))


def test_distil_learns_from_labelled_items_and_says_how_far_it_agrees(trained):
    assert trained["items"] + trained["held_out"] == 40 and trained["disciplines"] == 2
    assert trained["broad"] >= 0.9 and trained["kappa"] > 0.8 and set(trained["fields"]) == {"02", "05"}
    assert trained["rows_per_cpu_second"] > 0


def test_distil_without_labels_says_what_to_do(spark, settings, tmp_path):
    with pytest.raises(ConfigError, match="name some, or run"):
        train(config.load(DEMO, [*settings, "distil.sources=[]", f"warehouse={tmp_path}/none"]))


def test_scorecard_scores_both_annotators_and_what_the_line_makes_of_them(settings, trained, monkeypatch):
    score = partial(score_annotators.score, connect=lambda _: EchoEngine(scholar))
    monkeypatch.setattr(cli.score_annotators, "score", score)
    words = [word for setting in [*settings, "scorecard.items=8"] for word in ("--set", setting)]
    ended = CliRunner().invoke(cli.app, ["scorecard", "--config", DEMO, "--json", *words])
    assert ended.exit_code == 0, ended.output
    facts, llm = json.loads(ended.stdout), config.load(DEMO).role("annotator").id
    by = {(r["annotator"], r["benchmark"]): r for r in facts["rows"]}
    assert {annotator for annotator, _ in by} == {llm, "distilled", "distilled, else llm"}
    assert by[("distilled", "asked")]["items"] == 8 and by[("distilled", "asked")]["broad"] >= 0.8
    assert by[("distilled", "asked")]["majority_broad"] == 0.5  # as many of one discipline as of the other
    assert facts["rates"][llm] > 0 and facts["rates"]["distilled"] > 0
    assert Path(facts["figure"]).read_text(encoding="utf-8").count("<svg") == 1


def test_annotate_asks_the_distilled_annotator_by_source_and_is_stale_when_it_changes(
    spark, settings, trained, new_stage
):
    stage = new_stage(*settings, "annotate.by={documents: distilled}", "annotate.min_probability=0.6")
    force, nothing = "The force and the mass and the energy.", "12345"
    seeds = [("a", "a", "documents", force), ("b", "b", "documents", nothing), ("c", "c", "notes", force)]
    items = spark.createDataFrame(seeds, "item_id string, document string, source string, text string")
    known_disciplines = freshness.declared("annotate")["known_disciplines"]
    [known] = known_disciplines(stage, items).collect()
    assert (known["item_id"], known["discipline"], known["annotator"]) == ("a", "0533", "distilled")
    assert known_disciplines(new_stage(*settings), items) is None
    before = basis(stage.config, Step("", "annotate"), {})
    distilled.save(stage.config, distilled.load(stage.config))
    after = basis(stage.config, Step("", "annotate"), {})
    assert {key for key in before if before[key] != after[key]} == {"model distilled"}
