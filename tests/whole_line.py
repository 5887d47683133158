"""The whole line over the demo's input with an engine that answers at once: how it is run, and what its tests ask it."""

import json
from pathlib import Path

import pytest
from pyspark.sql import functions as F
from typer.testing import CliRunner

from boostqa import basis, cli, config, pipeline
from boostqa.config.base import Section
from boostqa.vocabulary import STAGES
from tests import held_out
from tests.fakes import EchoEngine, known_sums, scholar
from tests.processes import DEMO


def connect(settings):
    return EchoEngine(scholar)


def settings(folder):
    fields = ", ".join(f"{name}: {name}" for name in ("id", "question", "choices", "answer", "solution"))
    known = f"[{{name: sums, path: {folder}/known.jsonl, kind: qa, lang: en, fields: {{{fields}}}}}]"
    places = [f"warehouse={folder}/warehouse", f"output={folder}/output"]
    roles = [f"model.{role}={config.load(DEMO).tokenizer}" for role in ("fluency", "rubric_judge", "student")]
    web = f"{{name: web, path: {folder}/web.jsonl, fields: {{text: text}}, licence: MIT}}"
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
        "mix.formats=[parquet, jsonl, megatron]",
        "mix.end_of_text=<|endoftext|>",
        f"mix.components=[{{name: made, weight: 3}}, {{name: questions, of: seeds}}, {{name: web, of: corpus, source: {web}}}]",
    ]


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


def write_input(folder):
    """What the line reads beside the demo's input."""
    if not Path(config.load(DEMO).tokenizer).exists():
        pytest.skip("no tokenizer of the demo's model: make setup")
    (folder / "known.jsonl").write_text("\n".join(map(json.dumps, known_sums(100))))
    (folder / "web.jsonl").write_text("\n".join(json.dumps({"text": f"Page {n} tells of heat."}) for n in range(9)))
    held_out.write(folder)


def run_once(folder, conf_reads, *more):
    """Run the line into `folder` with `more` settings; what the stages read of the conf is added to `conf_reads`."""
    write_input(folder)
    with pytest.MonkeyPatch.context() as patch:
        watch_conf(patch, conf_reads)
        pipeline.run(config.load(DEMO, [*settings(folder), *more]), STAGES, connect)


def command(done, *words):
    """A command in this process, on the warehouse in `done`."""
    return command_with(settings(done), *words)


def command_with(chosen, *words):
    options = [x for setting in chosen for x in ("--set", setting)]
    return CliRunner().invoke(cli.app, [*words, "--config", DEMO, *options])


def executions(tables, run_id):
    """Stage -> row of table `run`, of one run."""
    rows = tables.read("run").where(F.col("run_id") == run_id).collect()
    return {row["stage"]: row for row in rows}
