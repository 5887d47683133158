"""exemplars: which known questions show a plan row its level and style."""

from boostqa.schemas import PLAN, SEED
from boostqa.stages.exemplars import with_exemplars
from tests.rows import frame

LABELS = "seed_id string, discipline string, difficulty string"


def known(seed_id, question="How fast is it?", answer="3 m/s", **changes):
    usual = {"seed_id": seed_id, "doc_id": f"doc of {seed_id}", "kind": "qa", "question": f"{seed_id}: {question}"}
    return usual | {"answer": answer, "choices": None} | changes


def test_exemplars_are_of_the_nearest_discipline_and_level_and_never_of_the_seed_itself(spark):
    long = "x" * 500
    seeds = frame(
        spark,
        SEED,
        *(known("own"), known("same document", doc_id="doc of own"), known("near"), known("far"), known("chemistry")),
        *(known("biology"), known("history"), known("no answer", answer=None), known("long", question=long)),
        *(known("figure", question="See Figure 2."), known("in the text"), known("zh", lang="zh")),
        known("options", choices=["a", "b", "c", "d"], answer="A"),
        known("passage", kind="document", question=None, answer=None),
    )
    labels = {"near": ("0533", "H4"), "far": ("0533", "H1"), "chemistry": ("0531", "H4"), "biology": ("0511", "H1")}
    labels |= {name: ("0533", "H4") for name in ("own", "same document", "no answer", "long", "figure", "in the text")}
    labels |= {"zh": ("0533", "H4"), "options": ("0533", "H4"), "history": ("0222", "H4")}
    labelled = spark.createDataFrame([(name, *label) for name, label in labels.items()], LABELS)
    text = "Some text. in the text: How fast is it? More."
    plan = [
        {"plan_id": f"{format} {i}", "seed_id": "own", "discipline": "0533", "format": format, "sample_index": i}
        for format in ("calculation", "multiple_choice")
        for i in range(2)
    ]
    rows = frame(spark, PLAN, *plan).selectExpr("*", "'doc of own' as doc_id", f"'{text}' as text")

    def drawn(count):
        found = with_exemplars(rows, seeds, labelled, count).select("plan_id", "exemplars").collect()
        return {r["plan_id"]: [e["seed_id"] for e in r["exemplars"]] for r in found}

    all_of_them = ["near", "far", "chemistry", "biology"]
    assert drawn(9) == {
        **{f"calculation {i}": all_of_them for i in range(2)},
        **{f"multiple_choice {i}": ["options"] for i in range(2)},
    }
    assert drawn(1)["calculation 0"] == ["near"] and drawn(0)["calculation 1"] == []
