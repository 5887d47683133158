from pyspark.sql import functions as F

from boostqa.config import MinHash
from boostqa.matching_text import folded, grams
from boostqa.stages.deduplicate import exact, near

ITEMS = "item_id string, text string, known boolean"
RULE = "if(known, 'near_duplicate_of_seed', 'near_duplicate')"
WORDS = [f"word{i}" for i in range(60)]
LONG = " ".join(WORDS)


def found(result) -> dict[str, tuple[str, str]]:
    return {r["item_id"]: (r["keeper_id"], r["rule"]) for r in result.collect()}


def test_grams_of_words_and_of_chinese_run_over_the_normalised_text(spark):
    expected = {
        "Ａ  Ball,\n２.5 m?": ["a ball 2.5", "ball 2.5 m"],
        "求⼆次函数 f x": ["求二次函", "二次函数", "次函数f", "函数fx"],  # the second character is a radical
        "too short": [],
        None: [],
    }
    df = spark.createDataFrame([(text,) for text in expected], "text string")
    assert {r[0]: r[1] for r in df.select("text", grams(folded(F.col("text")), 3, 4)).collect()} == expected


def test_exact_same_text_up_to_case_and_punctuation_leaves_one_keeper(spark):
    rows = [("a", "What is heat?"), ("b", "what IS heat"), ("c", "What is  Heat!"), ("d", "What is work?"), ("e", "?")]
    duplicates = found(exact(spark.createDataFrame(rows, "item_id string, text string")))
    assert len(duplicates) == 2 and set(duplicates) < {"a", "b", "c"}
    assert {keeper for keeper, _ in duplicates.values()} == {"a", "b", "c"} - set(duplicates)


def test_exact_text_of_a_known_item_goes_and_the_known_one_stays(spark):
    new, known = ([(f"{who}{i}", f"What is heat {i}?") for i in range(n)] for who, n in (("n", 6), ("k", 4)))
    kind = "item_id string, text string"
    duplicates = found(exact(spark.createDataFrame(new, kind), spark.createDataFrame(known, kind)))
    assert duplicates == {f"n{i}": (f"k{i}", "exact_duplicate") for i in range(4)}


def test_exact_in_another_row_order_keeps_the_same_item(spark):
    rows = [(str(i), "What is heat?") for i in range(6)]
    one, other = (exact(spark.createDataFrame(r, "item_id string, text string")) for r in (rows, rows[::-1]))
    assert found(one) == found(other)


def test_near_drafts_like_a_seed_are_dropped_and_every_seed_stays(spark):
    seeds = [("s1", LONG, True), ("s2", LONG + " end", True)]
    drafts = [(f"d{i}", f"{LONG} x{i}", False) for i in range(6)]
    duplicates = found(near(spark.createDataFrame(seeds + drafts, ITEMS).selectExpr("*", f"{RULE} as rule"), MinHash()))
    assert set(duplicates) == {f"d{i}" for i in range(6)}
    assert {how for _, how in duplicates.values()} == {"near_duplicate_of_seed"}
    assert {keeper for keeper, _ in duplicates.values()} in ({"s1"}, {"s2"})


def test_near_drafts_of_one_cluster_have_one_keeper_and_different_texts_stay(spark):
    other = " ".join(reversed(WORDS))
    rows = [
        ("a", LONG, False),
        ("b", LONG + " x", False),
        ("c", "y " + LONG, False),
        ("d", other, False),
        ("e", "!", False),
    ]
    duplicates = found(near(spark.createDataFrame(rows, ITEMS).selectExpr("*", f"{RULE} as rule"), MinHash()))
    assert len(duplicates) == 2 and set(duplicates) < {"a", "b", "c"}
    assert set(duplicates.values()) == {(({"a", "b", "c"} - set(duplicates)).pop(), "near_duplicate")}


def test_near_chinese_texts_are_compared_by_characters(spark):
    text = "一个质量为两千克的物体在光滑水平面上受到十牛顿的恒定拉力作用求物体的加速度和三秒末的速度"
    rows = [("a", text, False), ("b", text + "。", False), ("c", "求" + text + "大小", False), ("d", text[::-1], False)]
    duplicates = found(near(spark.createDataFrame(rows, ITEMS).selectExpr("*", f"{RULE} as rule"), MinHash(words=60)))
    assert len(duplicates) == 2 and set(duplicates) < {"a", "b", "c"}


def test_near_of_a_chain_every_dropped_text_resembles_the_one_that_is_kept(spark):
    """20 texts of 100 words, each sharing 94 with the next; the first and the last share none."""
    words = [f"w{i}" for i in range(6 * 19 + 100)]
    texts = {f"c{i:02}": words[6 * i : 6 * i + 100] for i in range(20)}
    rows = [(name, " ".join(text), False) for name, text in texts.items()]
    duplicates = found(near(spark.createDataFrame(rows, ITEMS).selectExpr("*", f"{RULE} as rule"), MinHash()))
    kept = set(texts) - set(duplicates)
    assert len(kept) >= 3
    for dropped, (keeper, rule) in duplicates.items():
        assert keeper in kept and rule == "near_duplicate"
        assert len(set(texts[dropped]) & set(texts[keeper])) >= 70
    assert (
        found(near(spark.createDataFrame(rows[::-1], ITEMS).selectExpr("*", f"{RULE} as rule"), MinHash()))
        == duplicates
    )
