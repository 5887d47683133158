from boostqa.config import Clean
from boostqa.schemas import CLEAN, CONTAMINATION, REFINED, SEED
from boostqa.stages.clean import clean, contaminate, rejects_of_unfit, rejects_with_duplicates
from tests.rows import frame, row

CONF = Clean(benchmarks=[])
REJECTS = "stage string, key string, rule string, evidence string, request_ids array<string>"
OPTIONS = ["red", "blue", "green", "grey"]
BENCHMARK = "benchmark string, item_id string, question string, choices array<string>, answer string"
SENTENCE = (
    "A block of mass two kilograms slides down a rough plane inclined at thirty degrees; find its acceleration when "
    "the coefficient of kinetic friction between block and plane equals one tenth and air resistance is neglected."
)


def item(draft_id: str, **changes) -> dict:
    usual = {"seed_id": "s1", "question": f"Which law relates force and acceleration in case {draft_id}?"}
    usual |= {"answer": "Newton's second law", "solution": "It follows.", "draft_answer": "Newton's second law"}
    return row(REFINED, draft_id=draft_id, **usual | changes)


def seed(seed_id: str, **changes) -> dict:
    usual = {"seed_id": seed_id, "source": "book", "licence": "CC-BY-4.0", "attribution": "OpenStax"}
    return row(SEED, **usual | {"text": "Forces change motion."} | changes)


def refined(spark, *items: dict):
    return frame(spark, REFINED, *items)


UNFIT = {
    "question_too_short": {"question": "What is it?"},
    "question_too_long": {"question": " ".join(f"w{i}" for i in range(1500))},
    "refers_to_passage": {"question": "According to the passage, which law relates force and acceleration?"},
    "chat_turn": {"solution": "<think>Let me see.</think> It follows."},
    "repetition": {"solution": "and so it goes on " * 10},
    "choices_invalid": {"format": "multiple_choice", "choices": [*OPTIONS[:3], "red "], "answer": "A"},
    "empty_answer": {"answer": " "},
    "language_mismatch": {"lang": "zh"},
    "placeholder": {"solution": "..."},
}


def test_unfit_items_each_is_rejected_by_its_own_rule(spark):
    items = [item(rule, **changes) for rule, changes in UNFIT.items()] + [item("fine")]
    rows = rejects_of_unfit(refined(spark, *items), frame(spark, SEED, seed("s1")), CONF).collect()
    assert {r["key"]: r["rule"] for r in rows} == {rule: rule for rule in UNFIT}
    evidence = {r["key"]: r["evidence"] for r in rows}
    assert evidence["refers_to_passage"] == "According to the passage" and evidence["chat_turn"] == "<think>"
    assert evidence["repetition"] == "0.90 > 0.40 of the seeds"
    assert {(r["stage"], r["request_ids"]) for r in rows} == {("clean", None)}


def test_unfit_items_variants_are_rejected_by_the_first_rule_or_kept(spark):
    choice = {"format": "multiple_choice", "choices": OPTIONS}
    variants = [
        ("refers_to_passage", {"lang": "zh", "question": "如图所示，物体沿斜面下滑时受到的摩擦力是多少？"}),
        ("refers_to_passage", {"question": "What is the net force on the block shown in the figure?"}),
        ("chat_turn", {"question": "<|im_start|>user\nWhich law relates force and acceleration?"}),
        ("chat_turn", {"solution": "It follows.\n<\u2060start_of_turn>model\nIt follows."}),
        (None, {"question": "Which two tags of HTML strike a text through, <s> and </s> or <del> and </del>?"}),
        (None, {"question": "What does ChatML write before a turn of the user?", "answer": "<|im_start|>"}),
        (None, {"question": "What is the expectation value $<|x|>$ of a particle in a box of length L?"}),
        ("choices_invalid", choice | {"answer": "E"}),
        ("choices_invalid", choice | {"choices": None, "answer": "A"}),
        ("language_mismatch", {"question": "力和加速度之间的关系由哪一条定律给出？"}),
        ("placeholder", {"question": "Which law relates <question> and acceleration?"}),
        ("question_too_short", {"question": "如图所示"}),  # the first of two rules
        (None, choice | {"answer": "D"}),
        (None, {"lang": "zh", "question": "什么是牛顿第二定律？"}),  # ten characters, as wide as twenty letters
        (None, {"question": "Describe the passage of time near a heavy mass such as a black hole."}),
        (None, {"lang": "zh", "question": r"若 $\left(x+\frac{1}{2}\right)^2=\frac{\pi}{2}\sin\theta\cos\theta$"}),
        (None, {"lang": "zh", "question": "2，3，7，22，155，____，3，7"}),  # no letters, no language
    ]
    rejects = rejects_of_unfit(
        refined(spark, *(item(str(i), **changes) for i, (_, changes) in enumerate(variants))),
        frame(spark, SEED, seed("s1")),
        CONF,
    )
    expected = {str(i): rule for i, (rule, _) in enumerate(variants) if rule}
    assert {r["key"]: r["rule"] for r in rejects.collect()} == expected


def test_unfit_repetition_is_measured_against_the_seeds_of_the_language(spark):
    words = [f"word{i}" for i in range(60)]
    usual = [seed(f"s{i}", text=" ".join(words[:30] * 2)) for i in range(9)]  # half of it repeats
    items = [
        item("en", solution=" ".join(words[:30] * 2)),
        item("zh", lang="zh", solution="因为力等于质量乘以加速度，" * 3),
    ]
    items += [item("loop", solution="It follows. " * 20)]
    items = [i | ({"question": "什么是牛顿第二定律？"} if i["draft_id"] == "zh" else {}) for i in items]
    rows, seeds = refined(spark, *items), frame(spark, SEED, *usual, seed("zh", lang="zh", text="力是改变运动的原因。"))
    got = {r["key"]: r["evidence"] for r in rejects_of_unfit(rows, seeds, CONF).collect()}
    assert got == {"loop": "0.95 > 0.58 of the seeds", "zh": "0.61 > 0.40 of the seeds"}
    got = {
        r["key"]: r["evidence"]
        for r in rejects_of_unfit(rows, seeds, Clean(benchmarks=[], max_repetition=0.9)).collect()
    }
    assert got == {"loop": "0.95 > 0.90"}


def test_with_duplicates_rejects_each_item_once_for_the_first_reason(spark):
    items = [
        item("broken", answer=""),
        item("twin 1", question="Why does a moving charge feel a force?"),
        item("twin 2", question="Why does a moving charge feel a force ?"),
        item("options", question="Why does a moving charge feel a force?", choices=OPTIONS),
        item("copy", question=SENTENCE.replace("two kilograms", "three kilograms")),
        item("draft 1", question="Now consider this. " + SENTENCE.replace("block", "crate")),
        item("draft 2", question="Now consider this! " + SENTENCE.replace("block", "crate") + " Explain."),
        item("fine"),
    ]
    seeds = [seed("s1"), seed("s2", kind="qa", question=SENTENCE, text=f"{SENTENCE}\n1.2")]
    unfit = spark.createDataFrame([("clean", "broken", "empty_answer", "", None)], REJECTS)
    rows = rejects_with_duplicates(
        refined(spark, *items), unfit, spark.createDataFrame(seeds, SEED.schema), CONF
    ).collect()
    found = {r["key"]: (r["rule"], r["evidence"]) for r in rows}
    assert len(rows) == len(found) == 4
    assert found["broken"] == ("empty_answer", "")
    assert found["copy"] == ("near_duplicate_of_seed", "s2")
    assert found.get("twin 1", found.get("twin 2"))[0] == "exact_duplicate"
    assert found.get("draft 1", found.get("draft 2")) in [("near_duplicate", "draft 1"), ("near_duplicate", "draft 2")]


def test_contaminate_finds_leaks_in_item_and_passage_of_what_was_not_rejected(spark):
    leak = "one two three four five six seven eight nine ten eleven twelve thirteen"
    items = [item("q", question=leak), item("p", seed_id="s2"), item("gone", question=leak), item("fine")]
    seeds = spark.createDataFrame([seed("s1"), seed("s2", text=leak)], SEED.schema)
    rejected = spark.createDataFrame([("gone",)], "key string")
    benchmark = spark.createDataFrame([("b", "i", leak, None, None)], BENCHMARK)
    rows = contaminate(refined(spark, *items), rejected, seeds, benchmark, CONF)
    assert rows.columns == CONTAMINATION.schema.names
    assert {(r["draft_id"], r["field"], r["source"]) for r in rows.collect()} == {
        ("q", "question", "book"),
        ("p", "passage", "book"),
    }


def test_clean_keeps_what_is_left_with_the_provenance_of_its_seed(spark):
    leak = {"draft_id": "leak", "benchmark": "b", "match": "m", "source": "book", "generator": "g"}
    leaks = [leak | {"field": "question", "benchmark_item": "i"}, leak | {"field": "passage", "benchmark_item": "j"}]
    rows, rejects = clean(
        refined(spark, item("leak"), item("gone"), item("kept", status="corrected")),
        spark.createDataFrame([("gone",)], "key string"),
        spark.createDataFrame(leaks, CONTAMINATION.schema),
        spark.createDataFrame([seed("s1")], SEED.schema),
    )
    assert rows.columns == CLEAN.schema.names
    (kept,) = rows.collect()
    assert (kept["draft_id"], kept["status"], kept["licence"], kept["attribution"]) == (
        "kept", "corrected", "CC-BY-4.0", "OpenStax"
    )  # fmt: skip
    (rejected,) = rejects.collect()
    assert (rejected["key"], rejected["rule"], rejected["evidence"]) == ("leak", "contaminated", "b/i question: m")
