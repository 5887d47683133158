"""requests: what makes a request another request."""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.calls.models import ModelSpec
from boostqa.calls.requests import with_request
from boostqa.config import EngineSettings, Model, Sampling
from boostqa.prompts import Prompt


def test_request_id_changes_with_every_ingredient_and_with_nothing_else(spark):
    def one(name, **changes):
        engine = EngineSettings(**changes.pop("engine", {}))
        spec = ModelSpec(Model(id=changes.pop("id", "m"), revision=changes.pop("revision", None)), engine)
        template, prompt = Prompt("t", {"en": changes.pop("template", "x")}), F.lit(changes.pop("prompt", "p"))
        rows = spark.range(1).select(F.lit(name).alias("name"))
        return with_request(rows, changes.pop("stage", "synthesize"), spec, template, prompt, **changes)

    same = [
        one("base"),
        one("base again"),
        one("stage", stage="refine"),
        one("memory", engine={"gpu_memory_utilization": 0.5}),
    ]
    others = [
        one("id", id="n"), one("revision", revision="v1"), one("prompt", prompt="q"), one("template", template="y"),
        one("sample", sample_index=F.lit(1)), one("continuation", continuation=F.lit("c")),
        one("constraint", structured=F.lit("{}")), one("sampling", sampling=Sampling(temperature=0.1)),
        one("chat", chat=False), one("dtype", engine={"dtype": "float32"}),
    ]  # fmt: skip
    rows = reduce(DataFrame.unionByName, [*same, *others]).select("name", "request_id").collect()
    ids = {r["name"]: r["request_id"] for r in rows}
    assert len({ids[n] for n in ("base", "base again", "stage", "memory")}) == 1
    assert len(set(ids.values())) == 1 + len(others)


def test_prompt_with_bytes_that_are_no_utf8_holds_their_replacement(spark):
    rows = spark.range(1).select(F.expr("cast(X'61FF62' as string)").alias("words"))
    spec = ModelSpec(Model(id="m"), EngineSettings())
    requests = with_request(rows, "synthesize", spec, Prompt("t", {"en": "x"}), F.col("words"))
    assert requests.first()["prompt"] == "a\ufffdb"
