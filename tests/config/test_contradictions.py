"""Sections that contradict each other: refused at the key to look at; what may hold is let through."""

import re

import pytest

from boostqa import config
from boostqa.errors import ConfigError
from tests.processes import DEMO, ROOT

BENCHMARK = "{name: demo_benchmark, path: x}"
SERVED = "{id: m, endpoint: {url: 'http://host/v1', key_env: KEY}}"


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        (
            [f"clean.benchmarks=[{BENCHMARK}, {BENCHMARK}]"],
            "clean.benchmarks.1.name: .* demo_benchmark at clean.benchmarks.0",
        ),
        (
            ["probe.items=[{name: demo_benchmark, path: x}]"],
            "probe.items.0.name: .* demo_benchmark at clean.benchmarks.0",
        ),
        (["controls.sources=[{name: c, path: p}]"], "controls.sources.0: c: known items need kind: qa"),
        (
            ["controls.sources=[{name: c, path: conf/demo/benchmark.jsonl, kind: qa, fields: {answer: a}}]"],
            "controls.sources.0.path: .* is held out as demo_benchmark",
        ),
        (
            ["annotate.by={nowhere: llm}"],
            "annotate.by.nowhere: is no source of seed.sources, which are documents, exer",
        ),
        (
            ["warehouse=main.boostqa", "generation.staging=/Volumes/s", "annotate.by={notes: distilled}"],
            "distil.model: is required with a warehouse in a catalog",
        ),
        ([f"model.fluency={SERVED}"], "model.fluency: no endpoint"),
        ([f"model.generator={SERVED}"], r"probe\.checkpoints: is required"),
        (["synthesize.sampling.max_tokens=1479"], "synthesize.sampling.max_tokens: 1479 .* at least 570 .* 2048"),
        (["refine.blind.max_tokens=1989"], "refine.blind.max_tokens: 1989 .* context of the refiner .* 2048"),
        (["refine.rewrite.max_tokens=1969"], "refine.rewrite.max_tokens: 1969"),
        (["model.refiner={id: m, engine: {max_model_len: 239}}"], "refine.rewrite.max_tokens: 160 .* 239"),
        (["seed.min_characters=2561"], r"seed.min_characters: 2561 is above .* \(2560 at most\)"),
        (["clean.min_question_characters=4001"], "clean.min_question_characters: 4001 is above .* 4000"),
        (["warehouse=main.boostqa"], "generation.staging: is required .*main.boostqa"),
        (["plan.floor_tokens=2501"], "plan.tokens: 5000 is below its floors"),
        (
            ["gate.min_high_difficulty_share=0.7", "gate.severity={}"],
            "gate.min_high_difficulty_share: 0.7 is above .* 0.6",
        ),
        (["rounds=[{name: a}, {name: a}]"], "rounds.1.name: each name once, got a before"),
        (["rounds=[{name: a, tokens: 5, share: 0.5}]"], "rounds.0.share: tokens or a share of what is left, not both"),
        (
            ["rounds=[{name: a, checkpoint: x/y}]"],
            "rounds.0.checkpoint: x/y is not in probe.checkpoints, which has none",
        ),
        (
            ["probe.checkpoints=[a/b, c/d]", "rounds=[{name: a}, {name: b, checkpoint: a/b}]"],
            "rounds.1.checkpoint: a/b comes before that of the round before",
        ),
        (["mix.formats=[parquet, megatron]"], "mix.end_of_text: required by the format megatron"),
        (
            ["mix.components=[{name: a, reasoning: long}, {name: a}]"],
            "mix.components.1.name: each name once, got a twice",
        ),
        (
            ["mix.components=[{name: a, of: seeds, rounds: [main]}]"],
            "mix.components.0: strategies, rounds and reasoning",
        ),
        (
            ["mix.components=[{name: a, tokens: 9, weight: 2.0, reasoning: long}, {name: b}]"],
            "mix.components.0.weight: a weight or tokens",
        ),
        (["mix.components=[{name: a, rounds: [b]}]"], "mix.components.0.rounds: b is not in rounds, which has main"),
        (
            ["mix.tokens=9", "mix.components=[{name: a, tokens: 8}]"],
            "mix.components: their tokens are 8 together, mix.tokens is 9",
        ),
        (["mix.components=[{name: a, of: corpus}]"], "mix.components.0.source: `of: corpus` needs a source"),
        (
            ["mix.components=[{name: a, of: corpus, source: {name: notes, path: conf/demo.yaml, fields: {text: t}}}]"],
            "mix.components.0.source: a source of documents .* a name that no other source has",
        ),
        (
            ["mix.components=[{name: a, of: seeds}, {name: b, of: seeds}]"],
            "mix.components.1.of: one component of seeds",
        ),
        (
            ["mix.components=[{name: a}, {name: b, reasoning: long}]"],
            "mix.components.1: an earlier component takes all",
        ),
        (
            ["mix.components=[{name: a, of: corpus, source: {name: w, path: conf/demo.yaml, fields: {lang: l}}}]"],
            "mix.components.0.source.fields: map `text`, or `token_ids`",
        ),
        (["gate.min_controls=21"], "gate.min_controls: 21 is above .* 40 x positive_share 0.5"),
    ],
)
def test_contradiction_is_refused_at_its_key(settings, mistake):
    with pytest.raises(ConfigError, match=rf"1 mistake\(s\) in the conf:\n.*: {mistake}"):
        config.load(DEMO, settings)


@pytest.mark.parametrize(
    "settings",
    [
        ["synthesize.sampling.max_tokens=1478"],
        ["refine.blind.max_tokens=1988", "refine.rewrite.max_tokens=1968"],
        [f"model.refiner={SERVED}", "refine.blind.max_tokens=9000", "refine.rewrite.max_tokens=9000"],
        [f"model.generator={SERVED}", "probe.checkpoints=[owner/checkpoint]"],
        ["seed.min_characters=2560", "clean.min_question_characters=4000", "plan.floor_tokens=2500"],
        ["warehouse=main.boostqa", "generation.staging=/Volumes/main/boostqa/staging"],
        ["gate.min_high_difficulty_share=0.7", "gate.severity={draft.high_difficulty_share: warn}"],
        ["gate.min_controls=21", "gate.severity.controls_present=warn"],
    ],
)
def test_what_may_hold_is_let_through(settings):
    config.load(DEMO, settings)


def test_contradictions_are_said_beside_mistakes_of_other_sections():
    with pytest.raises(ConfigError) as error:
        config.load(DEMO, ["mix.tokens=-1", "clean.min_question_characters=4001", "plan.floor_tokens=2501"])
    assert str(error.value).startswith("3 mistake(s)")


def test_conf_of_a_cluster_has_no_mistake_once_the_environment_says_where_things_lie(monkeypatch):
    file = ROOT / "conf" / "cluster.yaml"
    for name in re.findall(r"\$\{(\w+)\}", file.read_text()):
        monkeypatch.setenv(name, f"s3a://bucket/{name.lower()}")
    assert config.load(str(file)).plan.tokens == 1_000_000_000
