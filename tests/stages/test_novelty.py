"""novelty: what was new in what a cell brought."""

import pytest

from boostqa.schemas import CLEAN, DRAFT, NOVELTY, REFINED, REJECT
from boostqa.stages.novelty import novelty, questions, simhash
from tests.rows import frame

ASKED = ["Why does ice float on water in a cold glass?", "Why does ice float on water in a warm pan?"]


def item(draft_id, question="", **changes):
    return {"draft_id": draft_id, "discipline": "0533", "grade": "H4", "question": question} | changes


def test_copies_rejects_new_runs_and_clusters_are_counted_by_the_cell_that_was_aimed_at(spark):
    drafts = [item(d) for d in "abcd"] + [item("e", grade="H5", difficulty="H4")]
    rejects = [
        {"key": "c", "rule": "near_duplicate"}, {"key": "d", "rule": "trivial"}, {"key": "x", "rule": "near_duplicate"}
    ]  # fmt: skip
    kept = frame(spark, CLEAN, item("a", ASKED[0]), item("b", ASKED[1]))
    earlier = frame(spark, CLEAN, item("old", ASKED[0]), item("old 2", ASKED[1], discipline="0541"))
    rows = novelty(
        frame(spark, DRAFT, *drafts),
        frame(spark, REFINED, *(item(d) for d in "abcd")),
        frame(spark, REJECT, *rejects),
        questions(kept, earlier).localCheckpoint(),
    )
    assert rows.columns == NOVELTY.schema.names
    found = {r["difficulty"]: r.asDict() for r in rows.collect()}
    cell = found["H4"]
    assert {n: cell[n] for n in ("drafts", "items", "duplicates", "rejected", "kept")} == {
        "drafts": 4, "items": 4, "duplicates": 1, "rejected": 2, "kept": 2
    }  # fmt: skip
    assert cell["novelty"] == 0.75 < cell["novelty_high"] < 1 and 1 <= cell["clusters"] <= 2
    # Six runs of five words each, four of them the same; the second question has two that no earlier one has.
    assert cell["distinct_ngrams"] == pytest.approx(8 / 12) and cell["new_ngrams"] == pytest.approx(2 / 8)
    assert (found["H5"]["drafts"], found["H5"]["items"], found["H5"]["novelty"]) == (1, 0, None)


def test_simhash_of_texts_that_share_most_words_shares_most_bits(spark):
    words = [f"word{i}" for i in range(40)]
    texts = [
        " ".join(words),
        " ".join([*words[:38], "other", "more"]),
        " ".join(reversed(words)),
        " ".join(w[::-1] for w in words),
    ]
    rows = spark.createDataFrame([(i, t) for i, t in enumerate(texts)], "n int, text string")
    codes = [r["code"] for r in rows.select("n", simhash(rows["text"]).alias("code")).orderBy("n").collect()]
    apart = [(codes[0] ^ code).bit_count() for code in codes]
    assert apart[2] == 0 and apart[1] <= 2 and apart[3] >= 2 and all(0 <= code < 256 for code in codes)
