"""The conf: every mistake at once, with its line."""

import re
import sys
from pathlib import Path

import pytest
from pyarrow import fs

from boostqa import config
from boostqa.errors import ConfigError
from tests.processes import DEMO


def test_load_two_mistakes_reports_both_with_key_and_line(tmp_path):
    text = Path(DEMO).read_text(encoding="utf-8").replace("  tokens: 5000\n", "  tokens: -1\n  tokenz: 5\n")
    file = tmp_path / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    line = text.split("\n").index("  tokens: -1") + 1
    with pytest.raises(ConfigError) as error:
        config.load(str(file))
    message = str(error.value)
    assert message.startswith("2 mistake(s)")
    assert f"{file}:{line}: plan.tokens: Input should be greater than 0, got -1" in message
    assert f"{file}:{line + 1}: plan.tokenz: is not a known key" in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("- a\n- b\n", "expected sections"),
        ("a: [1, 2\n", "not valid YAML"),
        ("warehouse: w\n", "seed: is required"),
        ("1: 2\n", "Keys should be strings, got 1"),
        ("spark: &a {conf: *a}\n", "stands within what it names"),
    ],
)
def test_load_unusable_file_says_why(tmp_path, text, part):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=part):
        config.load(str(file))


def test_load_missing_file_names_it():
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot read"):
        config.load("nowhere.yaml")


def test_set_overrides_nested_value_and_accepts_a_model_name():
    loaded = config.load(DEMO, ["plan.tokens=123", "model.refiner=owner/name"])
    assert loaded.plan.tokens == 123
    assert loaded.role("refiner").id == "owner/name"
    assert loaded.role("annotator") == loaded.model.generator


def test_severity_of_a_gate_there_is_not_is_a_mistake():
    known = config.load(DEMO, ["gate.severity={precision: warn, clean.min_rows: block, expect_x: warn}"]).gate.severity
    assert {gate: str(severity) for gate, severity in known.items()} == {
        "precision": "warn", "clean.min_rows": "block", "expect_x": "warn"
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"gate.severity: .*precisoin: no such gate; the gates are voter_better"):
        config.load(DEMO, ["gate.severity={precisoin: warn}"])


@pytest.mark.parametrize(("setting", "says"), [("plan.tokens", "key=value"), ("plan.tokens=[1", "not valid YAML")])
def test_set_that_is_none_says_how(setting, says):
    with pytest.raises(ConfigError, match=f"--set {re.escape(setting)}: .*{says}"):
        config.load(DEMO, [setting])


def test_mistake_in_a_setting_is_not_looked_for_in_the_file():
    with pytest.raises(ConfigError, match=r"\n  --set: plan\.tokens: Input should be greater than 0, got -1"):
        config.load(DEMO, ["plan.tokens=-1"])


def test_key_said_twice_is_a_mistake_with_both_lines(tmp_path):
    text = Path(DEMO).read_text(encoding="utf-8").replace("plan:\n", "plan:\n  tokens: 1\n")
    file, line = tmp_path / "bad.yaml", text.split("\n").index("  tokens: 1") + 1
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f":{line + 1}: plan.tokens: is said twice, first at {file}:{line}$"):
        config.load(str(file))


def test_key_said_twice_in_a_list_or_a_setting_is_a_mistake():
    with pytest.raises(ConfigError, match=r"\n  --set: seed.sources.0.path: is said twice, first at --set$"):
        config.load(DEMO, ["seed.sources=[{name: a, path: b, path: c}]"])


def test_section_said_twice_is_one_mistake_and_the_last_one_is_looked_into(tmp_path):
    text = Path(DEMO).read_text(encoding="utf-8") + "mix:\n  tokens: 20000\n  shards: 0\n"
    file, lines = tmp_path / "bad.yaml", text.count("\n")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        config.load(str(file))
    first, twice, shards = str(error.value).splitlines()
    assert first.startswith("2 mistake(s)") and f"{file}:{lines - 2}: mix: is said twice" in twice
    assert f"{file}:{lines}: mix.shards: Input should be greater than 0, got 0" in shards


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("plan.tokens=true", "plan.tokens"),
        ("plan.stem_boost=true", "plan.stem_boost"),
        ("clean.min_similarity=true", "clean.min_similarity"),
        ("synthesize.sampling.top_p=true", "synthesize.sampling.top_p"),
        ("engine.repetition_detection={min_count: true}", "engine.repetition_detection.min_count"),
        ("gate.quarantine=1", "gate.quarantine"),
    ],
)
def test_flag_is_no_number_and_a_number_no_flag(setting, key):
    with pytest.raises(ConfigError, match=rf"{key}: Input should be a valid (integer|number|boolean), got (True|1)$"):
        config.load(DEMO, [setting])


@pytest.mark.parametrize(
    "number", ["010", "-010", "1:30:00", "0x10", "0b11", "1_000", "1_000.5", "1:30.5", ".inf", "-.Inf", ".nan"]
)
@pytest.mark.parametrize(
    "setting", ["plan.stem_boost={}", "engine.args={{max_num_seqs: {}}}", "generation.env={{A: {}}}"]
)
def test_number_that_yaml_reads_in_a_way_of_its_own_is_a_mistake(setting, number):
    with pytest.raises(ConfigError, match=rf"--set: [\w.]+: {re.escape(number)} is no plain (finite )?number.* write "):
        config.load(DEMO, [setting.format(number)])


def test_odd_number_in_the_file_is_a_mistake_with_its_line(tmp_path):
    text = Path(DEMO).read_text(encoding="utf-8").replace("  tokens: 5000\n", "  tokens: 010\n")
    file, line = tmp_path / "bad.yaml", text.split("\n").index("  tokens: 010") + 1
    file.write_text(text, encoding="utf-8")
    with pytest.raises(
        ConfigError, match=f"^1 mistake.*\n  {file}:{line}: plan.tokens: 010 is .* takes it for 8: write"
    ):
        config.load(str(file))


def test_plain_numbers_and_odd_ones_in_quotes_are_read():
    loaded = config.load(DEMO, ["plan.stem_boost=1.5e+1", "generation.flush_seconds=+0.5", "generation.env={A: '010'}"])
    assert (loaded.plan.stem_boost, loaded.generation.flush_seconds, loaded.generation.env) == (15, 0.5, {"A": "010"})


@pytest.mark.parametrize(
    ("beginning", "encoding", "says"),
    [
        ("a: b\r\n# \xe9\n", "latin-1", "no UTF-8: byte 8 is 0xe9; save it as UTF-8"),
        ("", "utf-16", "UTF-16 or UTF-32: byte 0 is 0xff"),
        ("", "utf-32", "UTF-16 or UTF-32: byte 0 is 0xff"),
        ("", "utf-16-be", r"byte 0: .*U\+0000.*: save it as UTF-8"),
        ("\xe9: 1\r\n\a", "utf-8", r"byte 7: .*U\+0007"),
        ("# \ud800\n", "utf-8", "no UTF-8: byte 2 is 0xed"),
    ],
)
def test_file_that_is_no_utf8_text_says_which_byte(tmp_path, beginning, encoding, says):
    file = tmp_path / "bad.yaml"
    file.write_bytes((beginning + Path(DEMO).read_text(encoding="utf-8")).encode(encoding, "surrogatepass"))
    with pytest.raises(ConfigError, match=f"{file}: {says}"):
        config.load(str(file))


def test_byte_order_mark_of_utf8_is_read_over(tmp_path):
    file = tmp_path / "windows.yaml"
    file.write_text(Path(DEMO).read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert config.load(str(file)).plan.tokens == 5000


def test_engine_of_a_model_overrides_the_shared_section():
    loaded = config.load(DEMO, ["model.refiner={id: owner/big, engine: {tensor_parallel_size: 8}}"])
    assert loaded.engine_for(loaded.role("refiner")).tensor_parallel_size == 8
    assert loaded.engine_for(loaded.role("generator")).tensor_parallel_size == 1


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("generation.env={HF_TOKEN: hf_secret}", "HF_TOKEN is a secret"),
        ("model.annotator={id: m, endpoint: {url: 'https://me:hf_secret@host/v1'}}", "by the name of a variable"),
    ],
)
def test_secrets_in_the_conf_are_refused_and_not_repeated(setting, says):
    with pytest.raises(ConfigError, match=says) as error:
        config.load(DEMO, [setting])
    assert "hf_secret" not in str(error.value)


def test_conf_is_read_from_any_file_system(tmp_path, monkeypatch):
    file = tmp_path / "a b.yaml"
    file.write_bytes(Path(DEMO).read_bytes())
    assert config.load(file.as_uri()).model_dump() == config.load(DEMO).model_dump()
    for place, why in ((f"{file.as_uri()}x", "No such file"), ("odd://bucket/c.yaml", "Unrecognized filesystem type")):
        with pytest.raises(ConfigError, match=rf"cannot read the conf \(.*{why}.*a path or a URI"):
            config.load(place)
    bucket = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr(
        sys.modules["boostqa.config.load"], "file_system", lambda uri: (bucket, uri.removeprefix("s3://bucket/"))
    )
    assert config.load("s3://bucket/a b.yaml").place("plan", "tokens").startswith("s3://bucket/a b.yaml:")


def test_languages_and_licences_are_canonical():
    source = "{name: s, path: p, lang: English, licence: mit or cc by 4.0}"
    loaded = config.load(
        DEMO, [f"seed.sources=[{source}]", "seed.languages=[eng, zho_Hans]", "seed.licences=[gpl-3.0, mit]"]
    )
    [read] = loaded.seed.sources
    assert (read.lang, read.licence) == ("en", "MIT OR CC-BY-4.0")
    assert (loaded.seed.languages, loaded.seed.licences) == (["en", "zh"], ["GPL-3.0-only", "MIT"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed.licences=[CC-BY4, MIT]", "'CC-BY4' is no SPDX licence .* LicenseRef-CC-BY4"),
        ("seed.licences=[MIT OR Apache-2.0]", "list each licence by itself"),
        ("seed.licences=[]", r"seed\.licences: List should have at least 1 item"),
        ("seed.languages=[]", r"seed\.languages: List should have at least 1 item"),
        ("seed.languages=[en, und]", "'und' names no language: write an ISO 639 code"),
        ("seed.sources=[{name: s, path: p, lang: elvish}]", "'elvish' names no language"),
        ("seed.sources=[{name: s, path: p, licence: our own}]", "LicenseRef-our-own"),
        ("seed.sources=[{name: s, path: p, answers: index}]", "'label', 'text', 'index0' or 'index1'"),
    ],
)
def test_languages_and_licences_that_are_none_are_mistakes(setting, message):
    with pytest.raises(ConfigError, match=message):
        config.load(DEMO, [setting])


SECRETS = [
    ("model.refiner={id: a, endpoint: {url: 'http://h/v1', key_env: sk-abc123}}", "in capitals, such as TEACHER_KEY"),
    ("engine.args={hf_token: abc123}", "hf_token is a secret"),
    ("generation.env={HF_TOKEN: abc123}", "HF_TOKEN is a secret"),
    ("spark.conf={spark.hadoop.fs.s3a.secret.key: [abc123]}", "should be a valid string, got '***'"),
    ("mlflow=[{token: abc123}]", "got [{'token': '***'}]"),
]


@pytest.mark.parametrize(("setting", "part"), SECRETS)
def test_secret_in_the_conf_is_refused_and_not_repeated(setting, part):
    with pytest.raises(ConfigError) as error:
        config.load(DEMO, [setting])
    assert part in str(error.value) and "abc123" not in str(error.value)


def test_conf_that_is_shown_has_no_secrets():
    spark = {
        "spark.hadoop.fs.s3a.secret.key": "abc",
        "fs.azure.account.key.x.net": "abc",
        "spark.sql.shuffle.partitions": "2",
    }
    shown = config.redacted(
        {"spark": {"conf": spark}, "tracking_uri": "https://me:abc@host/x", "max_tokens": 3, "l": [{"token": "abc"}]}
    )
    assert "abc" not in str(shown) and shown["max_tokens"] == 3
    assert (
        shown["spark"]["conf"]["spark.sql.shuffle.partitions"] == "2" and shown["tracking_uri"] == "https://***@host/x"
    )
