"""The distilled annotator: what it learns from a few texts, where it lies, and what annotate does with its labels."""

import pytest

from boostqa import config, distilled
from boostqa.calls.models import ModelSpec
from boostqa.config import Annotate, Distil, EngineSettings, Model
from boostqa.errors import ConfigError
from boostqa.stages import annotate, distil
from boostqa.vocabulary import ItemTable
from tests.processes import DEMO
from tests.rows import completions

TAUGHT = [
    ("force and mass of a falling body", "0533"),
    ("the force on a body gives it acceleration", "0533"),
    ("力等于质量乘以加速度", "0533"),
    ("the king and his war with France", "0222"),
    ("a war between two empires", "0222"),
    ("唐朝的皇帝与战争", "0222"),
]
ITEM = "item_id string, lang string, text string"


@pytest.fixture(scope="module")
def model(spark):
    conf = Distil(features=4096, regularisation=0.001, max_iterations=20)
    return distil.annotator(distil.untrained(conf).fit(spark.createDataFrame(TAUGHT, "text string, discipline string")))


@pytest.fixture
def conf(tmp_path):
    return config.load(DEMO, [f"warehouse={tmp_path}/w"])


def test_distilled_annotator_names_a_discipline_in_both_languages_with_its_probability(spark, model):
    texts = [
        ("a", "en", "A body under a force."),
        ("b", "zh", "质量与力"),
        ("c", "zh", "两个帝国的战争"),
        ("d", "en", None),
    ]
    rows = {r["item_id"]: r for r in distil.labelled(spark.createDataFrame(texts, ITEM), model).collect()}
    assert {key: rows[key]["discipline"] for key in "abc"} == {"a": "0533", "b": "0533", "c": "0222"}
    assert all(0.5 < rows[key]["discipline_probability"] <= 1 for key in "abc")
    assert rows["d"]["discipline_probability"] < rows["a"]["discipline_probability"]


def test_distilled_annotator_takes_the_best_discipline_of_the_best_broad_field(spark):
    taught = [("ohm", code) for code, count in {"0222": 4, "0531": 2, "0533": 3}.items() for _ in range(count)]
    conf = Distil(features=16, max_iterations=30)
    model = distil.annotator(
        distil.untrained(conf).fit(spark.createDataFrame(taught, "text string, discipline string"))
    )
    [row] = distil.labelled(spark.createDataFrame([("a", "en", "ohm")], ITEM), model).collect()
    assert row["discipline"] == "0533" and row["discipline_probability"] == pytest.approx(3 / 9, abs=1e-3)


def test_distilled_annotator_is_loaded_as_it_was_saved_and_another_one_has_another_content(
    spark, model, conf, tmp_path
):
    items = spark.createDataFrame([("a", "en", "a force on a mass")], ITEM)
    assert distilled.content(conf) == ""
    with pytest.raises(ConfigError, match="train one: boostqa distil"):
        distilled.load(conf)
    assert distilled.save(conf, model) == str(tmp_path / "w" / "_distilled")
    first = distilled.content(conf)
    assert distil.labelled(items, distilled.load(conf)).collect() == distil.labelled(items, model).collect()
    other = Distil(features=1024, regularisation=0.1, max_iterations=5)
    taught = spark.createDataFrame(TAUGHT, "text string, discipline string")
    distilled.save(conf, distil.annotator(distil.untrained(other).fit(taught)))
    assert first and distilled.content(conf) not in ("", first)


def test_annotate_asks_items_of_known_discipline_for_their_difficulty_alone(spark):
    items = annotate.items_of(spark.createDataFrame([("sure", "en", "x"), ("unsure", "en", "y")], ITEM), "item_id")
    known = spark.createDataFrame(
        [("sure", "0533", 0.9, "distilled")],
        "item_id string, discipline string, discipline_probability double, annotator string",
    )
    spec = ModelSpec(Model(id="m"), EngineSettings())
    requests = annotate.requests(items, "annotate", spec, Annotate(), known)
    asked = sorted((r["item_id"], r["label"]) for r in requests.where("item_id is not null").collect())
    assert asked == [("sure", "difficulty"), ("unsure", "difficulty"), ("unsure", "discipline")]
    answers = completions(requests, text="if(label = 'discipline', ' mathematics', ' high school')", logprob="-0.5D")
    kept, rejects = annotate.labels_and_rejects(
        annotate.parse(requests, answers, Annotate(), known), ItemTable.SEED, "annotate"
    )
    rows = {r["item_id"]: r for r in kept.collect()}
    assert {key: (r["discipline"], r["annotator"], len(r["request_ids"])) for key, r in rows.items()} == {
        "sure": ("0533", "distilled + m", 1), "unsure": ("0541", "m", 2)
    }  # fmt: skip
    assert rows["sure"]["discipline_probability"] == 0.9 and rejects.count() == 0
