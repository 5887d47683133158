"""requests: what makes a request another request."""

import json
from functools import reduce
from types import SimpleNamespace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.calls import models
from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import with_request
from boostqa.config import EngineSettings, Model, Sampling
from boostqa.prompts import Prompt


def test_request_id_changes_with_every_ingredient_and_with_nothing_else(spark):
    def one(name, **changes):
        engine = EngineSettings(**changes.pop("engine", {}))
        model = Model(
            id=changes.pop("id", "m"), revision=changes.pop("revision", None), endpoint=changes.pop("endpoint", None)
        )
        spec = ModelSpec(model, engine, changes.pop("env", ()))
        template, prompt = Prompt("t", {"en": changes.pop("template", "x")}), F.lit(changes.pop("prompt", "p"))
        rows = spark.range(1).select(F.lit(name).alias("name"))
        return with_request(rows, changes.pop("stage", "synthesize"), spec, template, prompt, **changes)

    same = [
        one("base"),
        one("base again"),
        one("stage", stage="refine"),
        one("memory", engine={"gpu_memory_utilization": 0.5}),
        one("context", engine={"max_model_len": 99, "args": {"pipeline_parallel_size": 2}}),
        one("template", template="a text in another language"),
        one("place", env=(("VLLM_CPU_KVCACHE_SPACE", "3"), ("HF_HOME", "/x"))),
    ]
    here, there = (one(name, id=name, revision="local:0123") for name in ("./model", "/data/model"))
    others = [
        one("id", id="n"), one("revision", revision="v1"), one("prompt", prompt="q"), here,
        one("sample", sample_index=F.lit(1)), one("continuation", continuation=F.lit("c")),
        one("constraint", structured=F.lit("{}")), one("sampling", sampling=Sampling(temperature=0.1)),
        one("chat", chat=False), one("dtype", engine={"dtype": "float32"}),
        one("kernel", env=(("VLLM_ATTENTION_BACKEND", "FLASHINFER"),)), one("backend", engine={"args": {
            "structured_outputs_config": {"backend": "guidance"}}}), one("server", endpoint={"url": "http://a/v1"}),
        one("other server", endpoint={"url": "http://b/v1"}),
    ]  # fmt: skip
    rows = reduce(DataFrame.unionByName, [*same, *others, there]).select("name", "request_id").collect()
    ids = {r["name"]: r["request_id"] for r in rows}
    assert len({ids[n] for n in ("base", "base again", "stage", "memory", "context", "template", "place")}) == 1
    assert ids["./model"] == ids["/data/model"]
    assert len(set(ids.values())) == 1 + len(others)


def test_prompt_with_bytes_that_are_no_utf8_holds_their_replacement(spark):
    rows = spark.range(1).select(F.expr("cast(X'61FF62' as string)").alias("words"))
    spec = ModelSpec(Model(id="m"), EngineSettings())
    requests = with_request(rows, "synthesize", spec, Prompt("t", {"en": "x"}), F.col("words"))
    assert requests.first()["prompt"] == "a\ufffdb"


def test_request_id_names_the_version_of_vllm(monkeypatch):
    monkeypatch.setattr(models, "vllm_version", lambda: "0.32")
    settings = json.loads(ModelSpec(Model(id="m"), EngineSettings()).output_settings)
    assert settings["vllm"] == "0.32" and settings["structured_outputs_config"]["backend"] == "xgrammar"


def test_fingerprint_is_every_byte_of_the_model_read_once_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(models, "fingerprint", models.fingerprint.__wrapped__)  # as in another process
    weights = bytearray(300_000)

    def made(name):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "README.md").write_text(name)
        return models.fingerprint(folder)

    first = made("one")
    assert made("other") == first and models.is_fingerprint(first)
    weights[150_000] = 1
    assert made("one") != first
    monkeypatch.setattr(models.hashlib, "file_digest", None)
    assert models.fingerprint(tmp_path / "other") == first


def test_revision_of_a_hub_model_is_its_commit_as_the_hub_or_an_earlier_download_says(tmp_path, monkeypatch):
    import huggingface_hub

    def hub(found):
        class Hub:
            def model_info(self, model_id, revision, timeout):
                if found is None:
                    raise ConnectionError("no network")
                return SimpleNamespace(sha=f"{found} {model_id} {revision}")

        monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
        return models.commit_of.__wrapped__

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--a--b" / "refs").mkdir(parents=True)
    (tmp_path / "models--a--b" / "refs" / "main").write_text("commit\n")
    assert hub("now")("a/b", "v1") == "now a/b v1"
    assert [hub(None)(*asked) for asked in (("a/b", None), ("a/b", "v1"), ("c/d", None))] == ["commit", "v1", None]
    assert hub("now")("a/b", "0" * 40) == "0" * 40
