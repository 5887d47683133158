"""Questions that read unlike the seeds are rejected; a language with few seeds rejects nothing."""

from boostqa.calls.models import ModelSpec
from boostqa.config import Clean, EngineSettings, Model
from boostqa.schemas import COMPLETION, REFINED, SEED
from boostqa.stages import fluency
from tests.rows import frame, row

SPEC = ModelSpec(Model(id="small"), EngineSettings())
CONF = Clean(benchmarks=[], fluency_seeds=30)


def test_fluency_rejects_what_is_above_the_seeds_of_the_language(spark):
    items = [row(REFINED, draft_id=d, question=f"Why is {d} so blue?", seed_id="s") for d in ("usual", "odd", "lost")]
    items.append(row(REFINED, draft_id="zh", lang="zh", question="天空为什么是蓝色的？", seed_id="s"))
    seeds = [row(SEED, seed_id=f"s{i}", text=f"The sky is blue on day {i}.") for i in range(40)]
    seeds += [row(SEED, seed_id=f"q{i}", lang="zh", text=f"第{i}天的天空是蓝色的。") for i in range(3)]
    requests = fluency.requests(frame(spark, REFINED, *items), frame(spark, SEED, *seeds), SPEC, CONF)
    asked = requests.collect()
    assert sum(r["draft_id"] is None for r in asked) == 33
    assert {r["draft_id"]: r["prompt"] + r["continuation"] for r in asked if r["draft_id"]} == {
        "usual": "Question: Why is usual so blue?", "odd": "Question: Why is odd so blue?",
        "lost": "Question: Why is lost so blue?", "zh": "问题：天空为什么是蓝色的？",
    }  # fmt: skip
    nats = {"odd": 9.0, "zh": 9.0, "lost": None}
    scores = [
        row(COMPLETION, request_id=r["request_id"], logprob=score and -score * len(r["continuation"]))
        for r in asked
        for score in [nats.get(r["draft_id"], 1.0)]
    ]
    rejects = fluency.parse(requests, frame(spark, COMPLETION, *scores)).collect()
    assert {r["key"]: r["rule"] for r in rejects} == {"odd": "not_fluent", "lost": "not_scored"}
    assert [r["evidence"] for r in rejects if r["key"] == "odd"] == ["5.19 > 0.78 bits a character"]
