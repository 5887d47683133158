import pandas as pd
import pytest

from boostqa.vocabulary import Defect
from udfs import spoiling
from udfs.answers import same

OPEN = {
    "item_id": "a", "lang": "en", "question": "Tom has 12 apples and gives 5 of them to his sister. How many are left?",
    "choices": None, "answer": "7", "solution": "12 - 5 = 7, so 7 are left.", "other_answer": "Rome",
    "prompt_sentence": "Write one new question.",
    "seed": {"question": "A car drives 18 km in 2 hours on a straight road; how fast is it?", "choices": None, "answer": "9 km/h"},
    "benchmark": {"question": "Which planet is the largest?", "choices": ["Mars", "Jupiter"], "answer": "B"},
}  # fmt: skip
CHOICE = OPEN | {"item_id": "b", "choices": ["5", "7", "8", "9"], "answer": "B", "solution": ""}
CHINESE = OPEN | {
    "item_id": "c", "lang": "zh", "question": "小明买了3本笔记本，每本4元，他付给售货员20元，应找回多少元？", "answer": "8元",
    "solution": "20 - 3 × 4 = 8元。",
}  # fmt: skip


def test_every_defect_changes_what_it_names_and_nothing_else():
    made = {d: spoiling.spoil(OPEN, d) for d in Defect if d in spoiling._DEFECTS}
    assert made["wrong_letter"] is None and made["two_right_options"] is None
    assert same("7", made["wrong_answer"]["answer"], False) is False
    assert made["wrong_answer"]["answer"] in made["wrong_answer"]["solution"] and "question" not in made["wrong_answer"]
    assert made["contradicted"]["solution"].startswith(OPEN["solution"] + "\nThe answer is ")
    assert made["quantity_removed"]["question"].count("some") == 1
    assert OPEN["question"].startswith(made["cut_off"]["question"]) and made["cut_off"]["question"][-1] != "?"
    assert sorted(made["shuffled"]["question"].split()) == sorted(OPEN["question"].split())
    assert made["shuffled"]["question"] != OPEN["question"]
    assert made["prompt_echo"] == {"question": "Write one new question."}
    assert made["source_reference"]["question"].endswith(OPEN["question"])
    assert made["answer_given"]["question"].endswith("left? (The answer is 7.)")
    assert (made["seed_copy"]["question"], made["seed_copy"]["answer"]) == (OPEN["seed"]["question"], "9 km/h")
    near = made["seed_near_copy"]["question"].split()
    assert 1 <= sum(a != b for a, b in zip(near, OPEN["seed"]["question"].split(), strict=True)) <= 2
    assert (made["benchmark_leak"]["choices"], made["benchmark_leak"]["answer"]) == (["Mars", "Jupiter"], "B")
    assert made["wrong_language"] == {"lang": "zh"}


def test_defects_of_options_and_of_chinese():
    letter = spoiling.spoil(CHOICE, "wrong_letter")
    assert letter["answer"] in "ACD" and letter["solution"] == f"The answer is {letter['answer']}."
    assert sum(c.startswith("7") for c in spoiling.spoil(CHOICE, "two_right_options")["choices"]) == 2
    assert spoiling.spoil(CHOICE, "wrong_answer") is None
    assert spoiling.spoil(CHINESE, "wrong_answer")["answer"] != "8元"
    assert spoiling.spoil(CHINESE, "wrong_answer")["answer"].endswith("元")
    assert "若干" in spoiling.spoil(CHINESE, "quantity_removed")["question"]
    assert spoiling.spoil(CHINESE, "source_reference")["question"][0] in "根如阅"


@pytest.mark.parametrize("answer", ["x^2", "9.5", "0", "10%", "Paris", "1/2"])
def test_wrong_answer_is_certainly_another(answer):
    other = spoiling.wrong_answer(OPEN | {"answer": answer})
    assert other is None or same(answer, other, False) is False


def test_spoil_all_gives_each_item_one_defect_by_hash_and_the_same_again():
    items = [OPEN | {"item_id": str(i)} for i in range(200)] + [CHOICE | {"item_id": f"c{i}"} for i in range(100)]
    first, again = (pd.concat(spoiling.spoil_all([pd.DataFrame(items)])) for _ in range(2))
    assert first.equals(again) and len(first) == 300
    assert set(first["defect"]) == set(spoiling._DEFECTS) < set(Defect)
    short = OPEN | {"question": "Why?", "answer": "so", "other_answer": None, "seed": None, "benchmark": None}
    assert spoiling.spoil(short, "cut_off") is None and spoiling.spoil(short, "wrong_answer") is None
