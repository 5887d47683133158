import pandas as pd
import pytest

from udfs import options

CITIES = ["Rome", "Paris", "London", "Bern"]


@pytest.mark.parametrize(
    ("written", "texts", "labels"),
    [
        ('["a", "b"]', ["a", "b"], None),
        ("[1.10, 12345678901234567890, true, null]", ["1.10", "12345678901234567890", "true", ""], None),
        ('[{"label": "A", "text": "a"}, {"label": "B", "text": "b"}]', ["a", "b"], ["A", "B"]),
        ('[{"id": 1, "value": "a"}, {"id": 2, "value": "b"}]', ["a", "b"], ["1", "2"]),
        ('[{"key": "A", "value": "a", "why": "x"}, {"key": "B", "value": null}]', ["a", ""], ["A", "B"]),
        ('[{"A": "a"}, {"B": "b"}]', ["a", "b"], ["A", "B"]),
        ('{"text": ["a", "b"], "label": ["A", "B"]}', ["a", "b"], ["A", "B"]),
        ('{"A": "a", "B": "b", "C": "c", "D": null}', ["a", "b", "c"], ["A", "B", "C"]),
        ('{"A": "a", "B": null, "C": "c"}', ["a", "", "c"], ["A", "B", "C"]),
        ("[]", None, None),
        (" ", None, None),
        (None, None, None),
    ],
)
def test_options_of_every_kind_become_texts_and_labels(written, texts, labels):
    [row] = options.options(pd.Series([written], dtype=object)).values.tolist()
    assert row == [texts, labels, None]


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("[[1, 2], [3]]", "an option is a list"),
        ('[{"text": ["a"]}, {"text": ["b"]}]', "an option is a list"),
        ('["a", {"x": 1, "y": 2}]', "an option is an object of x, y"),
        ('{"text": ["a"], "label": ["A", "B"]}', "text and label differ in length"),
        ('{"first": "a", "second": "b"}', "an object of first, second"),
        ("A. one B. two", "a text"),
        ("3", "a single value"),
    ],
)
def test_options_that_are_none_say_what_was_found(written, fault):
    [row] = options.options(pd.Series([written], dtype=object)).values.tolist()
    assert row[:2] == [None, None] and row[2].startswith(f"{fault}, expected a list of texts")


def read(answer, choices=CITIES, labels=None) -> tuple:
    """(shape, label, text, index0, index1)"""
    return tuple(options.readings(*(pd.Series([v], dtype=object) for v in (answer, choices, labels))).values[0])


@pytest.mark.parametrize(
    ("answers", "letters"),
    [
        (["B", "b", "(B)", "B.", "B)", "Ｂ", "（Ｂ）", "【B】", "B、", "Answer: B", "答案：B", "选B", "option b"], "B"),
        (["AC", "A,C", "C, A", "A、C", "A and C", "(A)(C)", '["A", "C"]'], "AC"),
        (["E", "A,E", "A,A"], None),
    ],
)
def test_readings_of_letters(answers, letters):
    got = {answer: read(answer) for answer in answers}
    assert got == {answer: ("letter", letters, None, None, None) for answer in answers}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("Paris", "B"), (" paris. ", "B"), ("Ｐａｒｉｓ", "B"), ("B. Paris", "B"), ("(B) paris", "B"), ('["Rome", "Bern"]', "AD"),
        ("B. Rome", None), ("Berlin", None), ("-1", None), ("BAD", None),
    ],
)  # fmt: skip
def test_readings_of_texts(answer, text):
    assert read(answer) == ("text", None, text, None, None)


@pytest.mark.parametrize(
    ("answer", "choices", "labels", "reading"),
    [
        ("1", CITIES, None, ("number", None, None, "B", "A")),
        ("0", CITIES, None, ("number", None, None, "A", None)),
        ("４.", CITIES, None, ("number", None, None, None, "D")),
        ("1.0", CITIES, None, ("number", None, None, "B", "A")),
        ("[0, 2]", CITIES, None, ("number", None, None, "AC", None)),
        ("7", CITIES, None, ("number", None, None, None, None)),
        ("2", ["1", "2", "3"], None, ("number", None, "B", "C", "B")),
        ("14.0", ["2", "14"], None, ("number", None, "B", None, None)),
        ("2", CITIES, ["2", "4", "6", "8"], ("number", "A", None, "C", "B")),
        ("G", CITIES, ["F", "G", "H", "J"], ("letter", "B", None, None, None)),
        ("B", CITIES, ["1", "2", "3", "4"], ("letter", "B", None, None, None)),
        ("second", CITIES[:2], ["first", "second"], ("text", None, "B", None, None)),
        ("B", ["B", "C"], None, ("letter", "B", "A", None, None)),
        ("mW", ["MW", "mW"], None, ("text", None, "B", None, None)),
        ("x", ["x", "X", "x"], None, ("letter", None, None, None, None)),
        (None, CITIES, None, (None, None, None, None, None)),
        ("12", None, None, (None, None, None, None, None)),
        ("Z", list("zyxwvutsrqponmlkjihgfedcba"), None, ("letter", "Z", "A", None, None)),
    ],
)
def test_readings_keep_apart_what_an_answer_may_mean(answer, choices, labels, reading):
    assert read(answer, choices, labels) == reading
