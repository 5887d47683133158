"""annotate: labels from the distributions of constrained completions."""

import json

import pytest
from pyspark.sql import functions as F

from boostqa.calls.models import ModelSpec
from boostqa.config import Annotate, EngineSettings, Model
from boostqa.stages import annotate
from boostqa.vocabulary import ItemTable
from tests.rows import completions

SPEC = ModelSpec(Model(id="m"), EngineSettings())
ITEM = "item_id string, document string, title string, lang string, text string"
# What an engine says: 0.5 and 0.3 for two labels, 0.2 for the third.
SCORES = "map(%r, ln(0.5D), %r, ln(0.3D), %r, ln(0.2D))"
PHYSICS, LEVELS = SCORES % (" physics", " chemistry", " music"), SCORES % (
    " college", " graduate school", " elementary school"
)  # fmt: skip


def items(spark, *rows):
    """Rows (item_id, document, title, lang, text)."""
    return spark.createDataFrame(rows, ITEM)


def asked(rows, known=None):
    return annotate.requests(rows, "annotate", SPEC, Annotate(), known)


def parsed(requests, scores="null", blank="null", **answers):
    """What becomes of the answers; `scores` of items, `blank` of texts that say nothing, are SQL expressions."""
    ledger = completions(requests, choice_logprobs=f"if(item_id is null, {blank}, {scores})", **answers)
    return annotate.labels_and_rejects(annotate.parse(requests, ledger, Annotate()), ItemTable.SEED, "annotate")


def test_annotate_asks_twice_per_item_in_its_language_with_the_title_first(spark):
    rows = asked(items(spark, ("a", "a", None, "en", "Newton's laws"), ("b", "b", "力学", "zh", "牛顿定律")))
    nothing = rows.where("item_id is null").select("label", "lang", "template").distinct()
    assert sorted(map(tuple, nothing.collect())) == [("difficulty", lang, "annotate_blank") for lang in ("en", "zh")]
    rows = rows.where("item_id is not null").collect()
    assert sorted((r["item_id"], r["label"]) for r in rows) == [
        (i, lb) for i in "ab" for lb in ("difficulty", "discipline")
    ]
    chinese = next(r for r in rows if r["item_id"] == "b" and r["label"] == "discipline")
    assert chinese["prompt"].startswith("标题：力学\n文本：\n牛顿定律")
    assert {"物理", "无法判断"} <= set(json.loads(chinese["structured"])["choice"])
    assert json.loads(chinese["sampling"])["reply_start"] == "该文本属于的领域是："
    assert all(r["prompt"].startswith("Text:\nNewton's laws\n") for r in rows if r["item_id"] == "a")
    assert len({r["request_id"] for r in rows}) == 4


def test_annotate_discipline_is_the_best_of_the_best_broad_field_and_difficulty_the_expected_level(spark):
    requests = asked(items(spark, ("a", "a", None, "en", "Newton's laws")))
    scores = f"if(label = 'discipline', {SCORES % (' music', ' physics', ' chemistry')}, {LEVELS})"
    kept, rejects = parsed(requests, scores=scores.replace("0.5D", "0.4D").replace("0.3D", "0.31D"))
    [row] = kept.collect()
    assert (row["discipline"], row["discipline_probability"]) == ("0533", pytest.approx(0.31))  # 0.31 + 0.2 > 0.4
    assert row["difficulty_expected"] == pytest.approx((0.4 * 4 + 0.31 * 5 + 0.2 * 1) / 0.91)
    assert (row["difficulty"], row["difficulty_probability"], len(row["request_ids"])) == ("H4", pytest.approx(0.4), 2)
    assert rejects.count() == 0


def test_annotate_difficulty_is_what_a_text_has_more_than_one_that_says_nothing(spark):
    requests = asked(items(spark, ("a", "a", None, "en", "Newton's laws")))
    blank = LEVELS.replace("0.5D", "0.1D").replace("0.2D", "0.6D")
    [row] = parsed(requests, scores=f"if(label = 'discipline', {PHYSICS}, {LEVELS})", blank=blank)[0].collect()
    college, graduate, elementary = 0.5 / 0.1, 0.3 / 0.3, 0.2 / 0.6
    total = college + graduate + elementary
    assert row["difficulty_expected"] == pytest.approx((college * 4 + graduate * 5 + elementary) / total)
    assert (row["difficulty"], row["difficulty_probability"]) == ("H4", pytest.approx(college / total))
    assert row["discipline_probability"] == pytest.approx(0.5)


def test_annotate_chunks_of_a_document_vote_for_one_discipline(spark):
    requests = asked(items(spark, *((i, "book", None, "en", f"chunk {i}") for i in "abcd"))).cache()
    voters = [r["item_id"] for r in requests.where("label = 'discipline'").collect()]
    assert len(voters) == 3 and requests.where("item_id is not null").count() == 3 + 4
    music = SCORES % (" music", " physics", " religion")
    scores = f"if(label = 'difficulty', {LEVELS}, if(item_id = '{voters[0]}', {music}, {PHYSICS}))"
    kept, _ = parsed(requests, scores=scores)
    rows = kept.collect()
    assert {r["item_id"]: r["discipline"] for r in rows} == dict.fromkeys("abcd", "0533")
    assert [r["discipline_probability"] for r in rows] == [pytest.approx((0.3 + 0.5 + 0.5) / 3)] * 4


def test_annotate_of_a_served_model_takes_the_one_answer(spark):
    requests = asked(items(spark, ("a", "a", None, "en", "x"), ("b", "b", None, "zh", "y")))
    answer = "if(label = 'discipline', if(lang = 'zh', '物理', 'physics'), if(lang = 'zh', '高中', ' high school'))"
    text = answer.replace("lang = 'zh'", "item_id = 'b'")
    kept, _ = parsed(requests, text=text, logprob="if(item_id = 'a', ln(0.4D), null)")
    rows = {r["item_id"]: r for r in kept.collect()}
    assert {(r["discipline"], r["difficulty"]) for r in rows.values()} == {("0533", "H3")}
    assert {i: r["discipline_probability"] for i, r in rows.items()} == {"a": pytest.approx(0.4), "b": 1.0}


def test_annotate_item_without_label_is_rejected_with_the_reason(spark):
    names = ("no field", "no level", "not sure", "refused")
    requests = asked(items(spark, *((i, i, None, "en", i) for i in names))).cache()
    unsure = SCORES.replace("0.5D", "0.29D") % (" physics", " music", " economics")
    scores = f"""case when item_id = 'no field' and label = 'discipline' then map(' unclear', ln(0.6D), ' physics', ln(0.4D))
                when item_id = 'no level' and label = 'difficulty' then map(' unclear', ln(0.6D), ' high school', ln(0.4D))
                when item_id = 'not sure' and label = 'discipline' then {unsure.replace("0.3D", "0.2D")}
                when label = 'discipline' then {PHYSICS} else {LEVELS} end"""
    refused = {"finish_reason": "if(item_id = 'refused', 'refused', 'stop')", "error": "'prompt_too_long: 9 > 8'"}
    kept, rejects = parsed(requests, scores=scores, **refused)
    found = {r["key"]: r for r in rejects.collect()}
    assert {key: r["rule"] for key, r in found.items()} == {
        "no field": "discipline_cannot_tell", "no level": "difficulty_cannot_tell",
        "not sure": "discipline_cannot_tell", "refused": "annotation_failed",
    }  # fmt: skip
    assert kept.count() == 0 and "prompt_too_long" in found["refused"]["evidence"]
    assert found["not sure"]["evidence"].endswith("its best label, 0533, a probability of 0.29, less than 0.3")
    ids = {key: sorted(r["request_id"] for r in requests.where(F.col("item_id") == key).collect()) for key in found}
    assert {key: r["request_ids"] for key, r in found.items()} == ids


def test_annotate_takes_the_discipline_that_a_source_names(spark):
    named = [
        ("a", "Physics"),
        ("b", "0533"),
        ("c", "college_physics"),
        ("d", "物理学"),
        ("e", "Thermodynamics I"),
        ("f", None),
    ]
    rows = annotate.given(spark.createDataFrame(named, "seed_id string, subject string")).collect()
    assert {r["item_id"]: r["discipline"] for r in rows} == dict.fromkeys("abcd", "0533")
    assert {(r["discipline_probability"], r["annotator"]) for r in rows} == {(1.0, "given")}


def test_annotate_gives_all_chunks_of_a_document_the_discipline_with_the_highest_sum(spark):
    chunks = items(spark, *((i, "book", None, "en", "x") for i in "abcd"))
    said = [("a", "0533", 0.5), ("b", "0533", 0.4), ("c", "0222", 0.8)]
    rows = annotate.one_a_document(
        chunks, spark.createDataFrame(said, "item_id string, discipline string, discipline_probability double")
    ).collect()
    assert {r["item_id"]: r["discipline"] for r in rows} == dict.fromkeys("abc", "0533")
    assert [r["discipline_probability"] for r in rows] == [pytest.approx(0.3)] * 3


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("label", ["discipline", "difficulty"])
def test_every_label_has_a_code_of_its_own(label, lang):
    said = annotate.labels(label, lang)
    codes = [code for code in said.values() if code]
    assert len(codes) == len(set(codes)) == len(said) - 1
