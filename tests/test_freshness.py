"""Freshness: what makes a stage run again, and what does not."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from boostqa import basis, config
from boostqa.errors import ConfigError
from boostqa.freshness import Freshness
from boostqa.vocabulary import STAGES
from tests.processes import DEMO

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Tables:
    """A warehouse of which only versions and commits are known."""

    def __init__(self):
        self.commits, self.released, self.gone = {}, None, set()

    def exists(self, name):
        return name not in self.gone and name != "run"

    def commits_since(self, name, version):
        return self.commits.get(name, [])

    def properties(self, name):
        return {"boostqa.released": str(self.released)} if self.released else {}


def conf(*settings):
    return config.load(DEMO, [f"tokenizer={DEMO}", *settings])


def fresh(monkeypatch, tmp_path, *settings):
    """Every stage has run, under the conf as it is."""
    monkeypatch.setattr("boostqa.freshness.source_files", lambda spark, config: {"seed.sources papers": "1"})
    one = Freshness(None, conf(*settings), Tables())
    for stage in STAGES:
        row = {"hashes": {t: f"{stage} {t}" for t in one.writes[stage]}, "outputs": dict.fromkeys(one.writes[stage], 3)}
        one.record(stage, row | {"basis": one.basis(stage), "failed": 0, "requests": 1, "finished_at": NOW})
    monkeypatch.setattr("boostqa.freshness.manifest.basis_of", lambda _: basis.digest(one.last["mix"]["basis"]))
    assert one.stale() == {}
    return one


CHANGES = [
    ("clean.min_question_characters=16", {"clean", "synthesize", "gate"}, "conf clean.min_question_characters"),
    ("gate.max_similar=3", {"gate"}, "conf gate.max_similar"),
    ("mix.tokens=77", {"gate", "mix"}, "conf mix.tokens"),
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
    one.last["refine"] = one.last["refine"] | {"hashes": one.last["refine"]["hashes"] | {"refined": "other rows"}}
    assert {s: why for s, why in one.stale().items() if s != "gate"} == {"clean": "changed: table refined of refine"}
    one = fresh(monkeypatch, tmp_path)
    one.tables.commits = {"annotation": [{"stage": "annotate", "run_id": "later"}]}
    assert one.stale() == {"annotate": "written since, or only in part: table annotation"}
    one.tables.commits = {"quarantine": [{"event": "released"}]}
    assert one.stale() == {"gate": "written since, or only in part: table quarantine"}
    one.tables.commits, one.tables.gone = {}, {"plan"}
    assert one.stale() == {"plan": "written since, or only in part: table plan"}
    one = fresh(monkeypatch, tmp_path)
    one.last["probe"] = one.last["probe"] | {"failed": 2}
    assert one.stale() == {"probe": "2 of its requests failed"}
    one = fresh(monkeypatch, tmp_path)
    one.tables.released = (NOW - timedelta(seconds=1)).timestamp()
    assert one.stale() == {}
    one.tables.released = (NOW + timedelta(seconds=1)).timestamp()
    assert one.why_not("annotate") == "refused requests were released"
    one = fresh(monkeypatch, tmp_path)
    monkeypatch.setattr("boostqa.freshness.manifest.basis_of", lambda _: None)
    assert one.stale() == {"mix": "no export of it in output/demo"}
    del one.last["annotate"]
    with pytest.raises(ConfigError, match="stage plan would build on what is not current: annotate: it never ran here"):
        one.refuse_gaps(["plan", "synthesize"])
    one.refuse_gaps(["annotate", "plan"])


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
