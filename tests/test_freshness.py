"""Freshness: what makes a stage run again, and what does not."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from boostqa import basis, config
from boostqa.errors import ConfigError
from boostqa.freshness import Freshness
from boostqa.rounds import Step
from boostqa.storage.warehouse import Written
from boostqa.vocabulary import ROUND_STAGES
from tests.processes import DEMO

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Tables:
    """A warehouse of which only versions and commits are known."""

    def __init__(self):
        self.commits, self.released, self.gone, self.withdrawn = {}, None, set(), 0

    def exists(self, name):
        return name not in self.gone and name != "run"

    def measure(self, name):
        return Written(name, 0, self.withdrawn, f"{self.withdrawn} rows"), self.withdrawn

    def commits_since(self, name, version):
        return self.commits.get(name, [])

    def properties(self, name):
        return {"boostqa.released": str(self.released)} if self.released else {}


def conf(*settings):
    return config.load(DEMO, [f"tokenizer={DEMO}", *settings])


def run(one, step):
    writes = one.writes[step.stage]
    row = {"hashes": {t: f"{step} {t}" for t in writes}, "outputs": dict.fromkeys(writes, 3)}
    one.record(step, row | {"basis": one.basis(step), "failed": 0, "requests": 1, "finished_at": NOW})


def main(stage):
    return Step("main" if stage in ROUND_STAGES else "", stage)


def fresh(monkeypatch, tmp_path, *settings):
    """Every stage has run, under the conf as it is."""
    monkeypatch.setattr("boostqa.freshness.source_files", lambda spark, config: {"seed.sources papers": "1"})
    one = Freshness(None, conf(*settings), Tables())
    for step in one.steps:
        run(one, step)
    monkeypatch.setattr("boostqa.freshness.manifest.basis_of", lambda _: basis.digest(one.last["", "mix"]["basis"]))
    assert one.stale() == {}
    return one


CHANGES = [
    ("clean.min_question_characters=16", {"clean", "synthesize", "gate"}, "conf clean.min_question_characters"),
    ("gate.max_similar=3", {"gate"}, "conf gate.max_similar"),
    ("mix.tokens=77", {"mix"}, "conf mix.tokens"),
    ("annotate.max_characters=77", {"annotate", "probe", "synthesize", "gate"}, "conf annotate.max_characters"),
    ("refine.rewrite.temperature=0.5", {"refine", "gate"}, "conf refine.rewrite"),
    ("model.refiner=owner/name", {"refine", "gate"}, "model refiner"),
    ("engine.repetition_detection={}", {"annotate", "probe", "synthesize", "refine", "clean", "gate"}, "model"),
    ("generation.flush_rows=77", set(), ""), ("engine.gpu_memory_utilization=0.5", set(), ""),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "stages", "name"), CHANGES)
def test_a_change_of_the_conf_concerns_the_stages_that_read_it(monkeypatch, tmp_path, setting, stages, name):
    one = fresh(monkeypatch, tmp_path, "model.fluency=a/b")
    one.config = conf("model.fluency=a/b", setting)
    found = one.stale()
    assert set(found) == stages
    assert all(why.startswith("changed: ") and name in why for why in found.values())


def test_what_happened_to_tables_files_and_requests_makes_a_stage_run_again(monkeypatch, tmp_path):
    one = fresh(monkeypatch, tmp_path)
    one.files = {"seed.sources papers": "2"}
    assert one.stale() == {"seed": "changed: files of seed.sources papers"}
    one = fresh(monkeypatch, tmp_path)
    was = one.last["main", "refine"]
    one.last["main", "refine"] = was | {"hashes": was["hashes"] | {"refined": "other rows"}}
    assert {s: why for s, why in one.stale().items() if s != "gate"} == {"clean": "changed: table refined of refine"}
    one = fresh(monkeypatch, tmp_path)
    one.tables.commits = {"annotation": [{"stage": "annotate", "round": "", "run_id": "later"}]}
    assert one.stale() == {"annotate": "written since, or only in part: table annotation"}
    one.tables.commits = {"quarantine": [{"event": "released"}]}
    assert one.stale() == {"gate": "written since, or only in part: table quarantine"}
    one.tables.commits, one.tables.gone = {}, {"plan"}
    assert one.stale() == {"plan": "written since, or only in part: table plan"}
    one = fresh(monkeypatch, tmp_path)
    one.last["main", "probe"] |= {"failed": 2}
    assert one.stale() == {"probe": "2 of its requests failed"}
    one = fresh(monkeypatch, tmp_path)
    one.tables.released = (NOW - timedelta(seconds=1)).timestamp()
    assert one.stale() == {}
    one.tables.released = (NOW + timedelta(seconds=1)).timestamp()
    assert one.why_not(main("annotate")) == "refused requests were released"
    one = fresh(monkeypatch, tmp_path)
    monkeypatch.setattr("boostqa.freshness.manifest.basis_of", lambda _: None)
    assert one.stale() == {"mix": "no export of it in output/demo"}
    del one.last["", "annotate"]
    with pytest.raises(ConfigError, match="stage plan would build on what is not current: annotate: it never ran here"):
        one.refuse_gaps([main("plan"), main("synthesize")])
    one.refuse_gaps([main("annotate"), main("plan")])


def test_what_a_round_has_bought_is_history_once_another_has_begun(monkeypatch, tmp_path):
    two = "rounds=[{name: pilot, tokens: 500}, {name: rest}]"
    one = fresh(monkeypatch, tmp_path, two)
    assert [str(s) for s in one.steps[:4]] == ["seed", "annotate", "pilot/probe", "pilot/plan"]
    one.config = conf(two, "synthesize.sampling.top_p=0.5")
    assert set(one.stale()) == {"pilot/gate", "rest/synthesize", "rest/gate"}
    one.config = conf(two.replace("500", "600"))
    assert set(one.stale()) == set()
    one.config = conf(two, "clean.ngram_words=12")
    assert {"pilot/clean", "rest/clean"} <= set(one.stale()) and "pilot/synthesize" not in one.stale()
    one.last["pilot", "clean"]["hashes"]["clean"] = "other rows"
    one.config = conf(two)
    assert set(one.stale()) == {"pilot/gate", "rest/plan", "rest/clean", "mix"}
    one.tables.commits = {"plan": [{"stage": "plan", "round": "rest"}]}  # as it should be
    assert one.why_not(Step("pilot", "plan")) is None
    one.tables.commits = {"plan": [{"stage": "plan", "round": "pilot"}]}
    assert "table plan" in one.why_not(Step("pilot", "plan"))


def test_a_declared_round_that_has_not_begun_changes_nothing_and_one_undeclared_is_told(monkeypatch, tmp_path):
    one = fresh(monkeypatch, tmp_path)
    later = Freshness(None, conf("rounds=[{name: main}, {name: more}]"), one.tables)
    later.last = one.last
    assert later.stale() == {"more/probe": "it never ran here"}
    with pytest.raises(ConfigError, match="stage more/plan would build on what is not current: more/probe"):
        later.refuse_gaps([Step("more", "plan")])
    later.refuse_gaps([Step("", "mix")])  # leaves out what no gate has judged
    monkeypatch.setattr("boostqa.freshness.last_runs", lambda _: one.last)
    with pytest.raises(ConfigError, match="the warehouse holds round main, which the conf does not declare"):
        Freshness(None, conf("rounds=[{name: more}]"), one.tables)


def test_conf_hash_ignores_how_and_where_it_runs_and_sees_thresholds_and_models():
    base = basis.conf_hash(conf())
    execution = ("warehouse=elsewhere", "generation.engines=7", "engine.max_model_len=4000", "spark.master=local[7]")
    assert basis.conf_hash(conf(*execution)) == base
    changes = (
        "clean.ngram_words=12",
        "model.generator=a/b",
        "engine.dtype=half",
        "plan.tokens=77",
        f"tokenizer={__file__}",
    )
    assert len({base, *(basis.conf_hash(conf(change)) for change in changes)}) == 1 + len(changes)


def test_files_of_a_source_are_told_by_path_size_and_time(spark, tmp_path):
    file = tmp_path / "known.jsonl"
    file.write_text("{}")
    source = (
        f"controls.sources=[{{name: sums, path: {tmp_path}/*.jsonl, kind: qa, fields: {{question: q, answer: a}}}}]"
    )
    first = basis.source_files(spark, conf(source))
    assert "controls.sources sums" in first and "probe.items demo_probe" in first
    assert basis.source_files(spark, conf(source)) == first
    os.utime(file, (1, 1))
    later = basis.source_files(spark, conf(source))
    assert {name for name in first if first[name] != later[name]} == {"controls.sources sums"}
    file.unlink()
    assert "controls.sources sums" not in basis.source_files(spark, conf(source))


def test_mix_alone_is_stale_once_something_was_withdrawn(monkeypatch, tmp_path):
    one = fresh(monkeypatch, tmp_path)
    one.tables.withdrawn = 1
    assert one.stale() == {"mix": "changed: table withdrawal"}


def test_another_corpus_is_read_again_for_its_own_files_the_benchmarks_and_the_tokenizer_alone():
    web = config.Source(name="web", path="p", fields={"text": "text"})
    about = {"files of mix.sources web": "a", "files of clean.benchmarks b": "b", "tokenizer": "c"}
    state = basis.corpus_state(about, web)
    for other in ("files of mix.sources web2", "conf mix.tokens", "table clean", "code", "conf probe.checkpoints"):
        assert basis.corpus_state(about | {other: "x"}, web) == state, other
    assert all(basis.corpus_state(about | {key: "x"}, web) != state for key in about)
