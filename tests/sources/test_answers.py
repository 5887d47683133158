"""Options and answers of whole sources: how they are meant, seeds and items alike."""

import json

import pytest

from boostqa.config import Source
from boostqa.errors import ConfigError
from boostqa.sources import read_items, read_records
from boostqa.sources.answers import with_answers

FIELDS = {"question": "q", "choices": "c", "answer": "a"}
CITIES = ["Rome", "Paris", "London", "Bern"]
UNDECLARED = Source(name="s", path="-")


@pytest.fixture
def rows(spark):
    """rows((answer, options), ...): what with_answers reads; a dict of options has labels."""

    def make(*records: tuple):
        values = [
            ("f", i, a, list(c.values()) if isinstance(c, dict) else c, list(c) if isinstance(c, dict) else None)
            for i, (a, c) in enumerate(records, 1)
        ]
        columns = "file string, line bigint, answer string, choices array<string>, labels array<string>"
        return spark.createDataFrame(values, columns)

    return make


@pytest.mark.parametrize(
    ("records", "letters"),
    [
        ([("0", CITIES), ("1", CITIES), ("2", ["7", "8", "2"])], ["A", "B", "C"]),  # some answer is 0
        ([("1", CITIES), ("4", CITIES), ("2", ["7", "8", "2"])], ["A", "D", "B"]),  # some is the number of options
        ([("2", ["1", "2", "3"]), ("8", ["9", "8"]), ("8.5", ["8.5", "9"])], ["B", "B", "A"]),  # each is an option
        ([("2", {"2": "x", "3": "y"}), ("B", {"A": "B", "B": "A"}), ("9", None)], ["A", "B", "9"]),  # labels
        ([("B", ["B", "C", "P"]), ("b", CITIES), ("Paris", CITIES), (None, CITIES)], ["B", "B", "B", None]),
        ([("N", ["O", "N"]), ("B", CITIES), ("K", CITIES)], ["B", "B", None]),  # no letter of two options, of four
    ],
)
def test_with_answers_mean_one_thing_in_a_source(rows, records, letters):
    read = with_answers(rows(*records), UNDECLARED, "s").orderBy("line").collect()
    assert [r.answer for r in read] == letters
    unread = [answer if letter is None else None for (answer, _), letter in zip(records, letters, strict=True)]
    assert [r.unread_answer for r in read] == unread


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([("A", CITIES), ("1", CITIES)], "f:2: answer `1` of 4 options means option B (index0) or A (index1)"),
        ([("0", CITIES), ("4", CITIES), ("1", CITIES)], "not index0: f:2: `4` of 4 options"),
        ([("0", CITIES), ("4", CITIES)], "answers are meant in several ways"),
        ([("12", ["12", "15"]), ("2", ["x", "y"])], "not text: f:2: `2` of 2 options"),
        ([("B", ["B", "A"])], "means option B (label) or A (text)"),
        ([("B", ["B", "A"]), ("C", CITIES), ("N", ["O", "N"])], "not label: f:3: `N` of 2 options"),
    ],
)
def test_with_answers_that_may_mean_two_things_have_to_be_declared(rows, records, message):
    with pytest.raises(ConfigError, match="fix: declare it in the source's section: `answers:` label, text") as error:
        with_answers(rows(*records), UNDECLARED, "s")
    assert message in str(error.value)


def test_with_answers_declared_what_does_not_fit_is_unread(rows):
    records = [(a, CITIES) for a in ("1", "0", "4", "(B)", "Rome")]
    read = {}
    for declared in ("index0", "index1", "label", "text"):
        df = with_answers(rows(*records), UNDECLARED.model_copy(update={"answers": declared}), "s")
        read[declared] = [r.answer for r in df.orderBy("line").collect()]
    assert read == {
        "index0": ["B", "A", None, "B", "A"],
        "index1": ["A", None, "D", "B", "A"],
        "label": [None, None, None, "B", "A"],
        "text": [None, None, None, None, "A"],
    }


def test_read_records_and_items_read_options_and_answers_alike(spark, tmp_path):
    path = tmp_path / "f.jsonl"
    records = [(0, CITIES), (7, CITIES), ("ｃ", [{"label": "A", "text": 1.10}, {"label": "C", "text": 2}]), ("9 m", [])]
    records += [("A", [[1, 2], [3]]), ("E", CITIES)]
    path.write_text("\n".join(json.dumps({"q": f"{i}?", "a": a, "c": c}) for i, (a, c) in enumerate(records, 1)))
    source = Source(name="s", path=str(path), kind="qa", fields=FIELDS)
    *good, bad, beyond = read_records(spark, source).orderBy("line").collect()
    assert [(r.choices, r.answer, r.unread_answer) for r in good] == [
        (CITIES, "A", None), (CITIES, None, "7"), (["1.1", "2"], "B", None), (None, "9 m", None)
    ]  # fmt: skip
    assert bad.raw.startswith("choices: an option is a list, expected") and bad.raw.endswith("; got [[1,2],[3]]")
    assert (bad.question, bad.choices, bad.answer, bad.unread_answer) == (None, None, None, None)
    assert (beyond.answer, beyond.unread_answer) == (None, "E")
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:4], lines[5]]))
    items = read_items(spark, source).orderBy("question").collect()
    assert [r.answer for r in items] == ["A", "7", "B", "9 m", None]
    assert {r.lang for r in items} <= {"en", "zh"}
