"""What is missing is said before Spark starts: all of it, each with the line of the conf that names it."""

import shutil

import pytest

from boostqa import config
from boostqa.errors import ConfigError
from boostqa.preflight import ELSEWHERE, missing, preflight
from tests.processes import DEMO, ROOT


@pytest.fixture(autouse=True)
def laptop(monkeypatch):
    """No platform, and the demo's paths, which are relative."""
    monkeypatch.chdir(ROOT)
    for name in ELSEWHERE:
        monkeypatch.delenv(name, raising=False)


def checked(folder, *settings):
    """What preflight says of the demo with hub models."""
    hub = ["model.generator=owner/name", "tokenizer=owner/name", f"warehouse={folder}"]
    try:
        preflight(config.load(DEMO, [*hub, *settings]))
    except ConfigError as error:
        return str(error)
    return ""


def test_every_missing_model_and_file_is_named_with_its_line(tmp_path):
    text = (ROOT / "conf" / "demo.yaml").read_text(encoding="utf-8").replace("conf/demo/", "conf/gone/")
    file = tmp_path / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    settings = ["model.generator=./nowhere", "tokenizer=/also/nowhere", "probe.checkpoints=[owner/name, /mnt/step-1]"]
    with pytest.raises(ConfigError) as error:
        preflight(config.load(str(file), [*settings, f"warehouse={tmp_path}"]))
    first, *rest = str(error.value).splitlines()
    line = next(n for n, line in enumerate(text.splitlines(), 1) if "name: notes" in line)
    assert (
        f"  {file}:{line}: seed.sources.2.path: conf/gone/notes does not exist or matches nothing: correct it" in rest
    )
    assert [wrong.split(": ")[1] for wrong in rest] == [
        *("model.generator", "probe.checkpoints.1", "tokenizer"),
        *("seed.sources.0.path", "seed.sources.1.path", "seed.sources.2.path"),
        *("controls.sources.0.path", "probe.items.0.path", "clean.benchmarks.0.path"),
    ]
    assert first == "the conf names what is not there:"


@pytest.mark.parametrize(
    ("path", "is_missing"),
    [
        ("conf/demo/*.jsonl", False),
        ("conf/demo/documents.json[l]", False),
        ("conf/demo/*.parquet", True),
        ("s3a://bucket/gone.jsonl", False),
        ("dbfs:/gone.jsonl", False),
        ("gone/{a,b}.jsonl", False),  # Spark's own patterns are left to Spark
        ("gone/[^a].jsonl", False),
    ],
)
def test_patterns_match_and_uris_are_left_alone(tmp_path, path, is_missing):
    said = checked(tmp_path, f"seed.sources=[{{name: s, path: '{path}'}}]")
    assert ("seed.sources.0.path: " in said) is is_missing


def test_file_whose_name_is_a_pattern_is_told_how_to_be_named(tmp_path):
    file = tmp_path / "run[1].jsonl"
    file.touch()
    said = checked(tmp_path, f"seed.sources=[{{name: s, path: '{file}'}}]")
    assert rf"for the file of that name write {tmp_path}/run\[1\].jsonl" in said


@pytest.mark.parametrize("elsewhere", [*ELSEWHERE, "spark.hadoop.fs.defaultFS"])
def test_paths_of_another_file_system_are_left_alone(tmp_path, monkeypatch, elsewhere):
    source, settings = "seed.sources=[{name: s, path: /corpora/x}]", []
    assert "/corpora/x does not exist" in checked(tmp_path, source)
    if elsewhere.startswith("spark."):
        settings = [f"spark.conf={{{elsewhere}: 'hdfs://name:8020'}}"]
    else:
        monkeypatch.setenv(elsewhere, "1")
    assert checked(tmp_path, source, *settings) == ""


def test_folder_without_a_tokenizer_is_named(tmp_path):
    assert f"tokenizer: no tokenizer.json in {tmp_path}" in checked(tmp_path, f"tokenizer={tmp_path}")
    (tmp_path / "tokenizer.json").touch()
    assert checked(tmp_path, f"tokenizer={tmp_path}") == ""


def test_distilled_annotator_that_is_not_there_is_named_where_a_source_needs_it(tmp_path):
    asks, registered = "annotate.by={notes: distilled}", "distil.model=models:/annotator"
    assert f"distil.model: no distilled annotator in {tmp_path}/_distilled: train it" in checked(tmp_path, asks)
    assert checked(tmp_path) == checked(tmp_path, asks, registered) == ""
    (tmp_path / "_distilled").mkdir()
    assert checked(tmp_path, asks) == ""


def test_full_disk_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 1024))
    assert "warehouse: 0 MiB free" in checked(tmp_path)


def test_what_is_missing_is_told_together_with_other_mistakes_but_for_that_of_an_unsound_section(tmp_path):
    wrong = ["tokenizer=/also/nowhere", "mix.tokens=many", "probe.items=[{name: p, path: gone.jsonl, kind: odd}]"]
    with pytest.raises(ConfigError) as error:
        config.load(DEMO, [*wrong, "clean.benchmarks=[{name: b, path: gone.jsonl}]", f"warehouse={tmp_path}"], missing)
    told = {line.split(": ")[1] for line in str(error.value).splitlines()[1:]}
    assert {"tokenizer", "mix.tokens", "probe.items.0.kind", "clean.benchmarks.0.path"} <= told
    assert "probe.items.0.path" not in told
