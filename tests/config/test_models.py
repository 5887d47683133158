"""Engine settings: what vLLM would refuse after minutes is refused by the conf."""

from dataclasses import fields

import pytest

from boostqa import config
from boostqa.config import models
from boostqa.errors import ConfigError
from tests.processes import DEMO


@pytest.fixture
def vllm_takes(monkeypatch):
    """Whether vLLM is installed where the tests run is no matter."""

    def takes(*names):
        monkeypatch.setattr(models, "engine_arguments", lambda: frozenset(names))

    return takes


@pytest.mark.parametrize(
    ("setting", "mistake"),
    [
        ("engine.dtype=fp16", "engine.dtype: Input should be 'auto', 'half', .* got 'fp16'"),
        (
            "engine.args={enforce_egar: true, max_seqs: 1}",
            "engine.args: enforce_egar is no .*; max_seqs is no engine arg",
        ),
        (
            "engine.args={dtype: half, model: m}",
            "engine.args: dtype is a key of its own, .*; model is a key of its own",
        ),
        ("engine.repetition_detection={min_size: 1}", r"min_size\.\[key\]: Input should be 'min_pattern_size'"),
        ("engine.repetition_detection={min_pattern_size: 9}", "min_pattern_size 9 is above max_pattern_size 0"),
        ("model.refiner={id: m, endpoint: {url: 'teacher:8000/v1'}}", "model.refiner.endpoint.url: wants http://HOST"),
        ("model.refiner={id: m, endpoint: {url: 'http:///v1'}}", "model.refiner.endpoint.url: wants http://HOST"),
        ("model.refiner={id: m, engine: {dtype: fp8}}", "model.refiner.engine.dtype: .* got 'fp8'"),
        ("model.refiner={id: m, engine: {args: {x: 1}}}", "model.refiner.engine.args: x is no engine argument"),
        ("model.refiner={id: m, engine: {max_len: 1}}", "model.refiner.engine.max_len: is not a known key"),
    ],
)
def test_engine_setting_that_vllm_does_not_know_is_a_mistake(vllm_takes, setting, mistake):
    vllm_takes("enforce_eager", "max_num_seqs", "dtype", "model")
    with pytest.raises(ConfigError, match=mistake):
        config.load(DEMO, [setting])


def test_without_vllm_its_arguments_are_not_judged(vllm_takes):
    vllm_takes()
    assert config.load(DEMO, ["engine.args={from_a_later_version: 1}"]).engine.args == {"from_a_later_version": 1}


def test_engine_arguments_are_read_off_the_source(tmp_path, monkeypatch):
    (tmp_path / "served" / "engine").mkdir(parents=True)
    (tmp_path / "served" / "__init__.py").write_text("raise AssertionError('imported')\n")
    source = "class EngineArgs:\n    a: int = 1\n    b = 2\nclass AsyncEngineArgs(EngineArgs):\n    c: str\nclass X:\n    d: int\n"
    (tmp_path / "served" / "engine" / "arg_utils.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert models.engine_arguments("served") == {"a", "c"}
    assert models.engine_arguments("nowhere_installed") == frozenset()


@pytest.mark.engine
def test_engine_arguments_are_those_of_vllm():
    arg_utils = pytest.importorskip("vllm.engine.arg_utils")
    assert models.engine_arguments() == {f.name for f in fields(arg_utils.AsyncEngineArgs)}
