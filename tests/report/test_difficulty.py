"""difficulty: aimed and measured, from rows that were summed."""

import io

from rich.console import Console

from boostqa.report.difficulty import bought, figure, passes, rates, show, transitions


def summed(attempt, grade, difficulty, drafts, tokens=0, strategy="high_difficulty"):
    return {
        "attempt": attempt, "grade": grade, "difficulty": difficulty, "drafts": drafts, "tokens": tokens, "strategy": strategy
    }  # fmt: skip


def test_difficulty_transitions_and_rates_count_drafts_by_aim_and_slice():
    rows = [summed(0, "H4", "H3", 3), summed(0, "H4", "H5", 1), summed(1, "H4", "H3", 1, strategy="multi_grade")]
    assert transitions(rows) == {"H4": {"H3": 4, "H5": 1}}
    drawn = figure({"high_difficulty": transitions(rows)})
    assert drawn == figure({"high_difficulty": transitions(rows)}) and ">aimed at<" in drawn and ">4<" in drawn
    assert rates(rows, "strategy") == [
        {"value": "high_difficulty", "drafts": 4, "below": 3, "high": 1},
        {"value": "multi_grade", "drafts": 1, "below": 1, "high": 0},
    ]


def test_difficulty_what_trying_harder_bought_is_said_in_requests_and_tokens():
    rows = [
        summed(0, "H4", "H4", 5, 500), summed(0, "H4", "H2", 4, 400), summed(0, "H5", "H4", 1, 90),
        summed(1, "H4", "H4", 2, 300), summed(1, "H4", "H3", 1, 150), summed(2, "H4", "H5", 1, 160),
    ]  # fmt: skip
    got = bought(rows)
    assert got == {"requests": 10, "below": 5, "tries": 4, "reached": 3, "still_below": 2, "tokens": 610}
    said = Console(file=io.StringIO(), width=120)
    shares = {"seeds": 0.25, "drafts": None}
    show({"aims": {"high_difficulty": transitions(rows)}, "harder": got, "high_share": shares}, said)
    text = said.file.getvalue()
    assert (
        "5 of 10 first drafts are below their aim; after 4 harder ones that could be measured (610 tokens) 2 are"
        in text
    )
    assert "H4 and H5: 25% of the seeds\n" in text


def test_difficulty_students_pass_rate_is_shown_by_level_with_its_rank_correlation():
    def answered(level, passed, items):
        return {
            "student": "s",
            "strategy": "multi_grade",
            "difficulty": level,
            "attempts": 8,
            "passed": passed,
            "items": items,
        }

    found = passes([answered("H2", 8, 10), answered("H3", 4, 5), answered("H3", 0, 5), answered("H5", 0, 10)])
    assert (found["model"], found["items"]) == ("s", 30)
    assert found["levels"] == {"H2": [10, 1.0], "H3": [10, 0.25], "H5": [10, 0.0]}
    r, low, high = found["correlation"]
    assert 0.7 < low < r < high < 1
    assert passes([]) is None and passes([answered("H2", 8, 10)])["correlation"] is None
    out = io.StringIO()
    facts = {"aims": {}, "slices": {}, "harder": None, "high_share": {}, "student": found}
    show(facts, Console(file=out, width=200))
    assert "student s: attempts that pass: 100% of 10 at H2, 25% of 10 at H3, 0% of 10 at H5" in out.getvalue()
    assert "rank correlation of level and failing 0." in out.getvalue()
