"""browse: a few rows of a stage, the same each time, and what rejected ones said."""

from io import StringIO

import pytest
from rich.console import Console

from boostqa.errors import ConfigError
from boostqa.report.browse import collect, show
from boostqa.schemas import TABLES
from boostqa.storage.scratch import Scratch
from tests.rows import stored


@pytest.fixture(scope="module")
def tables(spark, tmp_path_factory):
    found = Scratch(spark, str(tmp_path_factory.mktemp("w")), None, ())
    rows = {
        "seed": [{"seed_id": s, "text": f"text {s}"} for s in ("s1", "s2", "s3")],
        "annotation": [{"item_id": "s1", "discipline": "0533"}, {"item_id": "s2", "discipline": "0541"}],
        "draft": [
            {
                "draft_id": "d1",
                "discipline": "0533",
                "question": "Why?\x1b[2J",
                "choices": ["so", "else"],
                "answer": "A",
            },
            {"draft_id": "d2", "discipline": "0541"},
        ],
        "reject": [
            {"stage": "refine", "key": "d1", "rule": "disputed", "evidence": "two against one"},
            {"stage": "refine", "key": "d2", "rule": "no_answer"},
            {"stage": "synthesize", "key": "p", "rule": "unparsable", "request_ids": ["r0", "r1", "label"]},
        ],
        "completion": [
            {"request_id": "r0", "stage": "synthesize", "template": "multi_grade", "sample_index": 0, "text": "first"},
            {"request_id": "r1", "stage": "synthesize", "template": "multi_grade", "sample_index": 9, "text": "second"},
            {"request_id": "label", "stage": "synthesize", "template": "annotate_difficulty", "sample_index": 99},
        ],
    }
    found.written = {name: stored(spark, TABLES[name], *some) for name, some in rows.items()}
    return found


def test_rows_of_a_stage_are_those_it_let_through_by_cell_and_the_same_each_time(tables):
    facts = collect(tables, "seed", None, None, {}, 2)
    assert (facts["table"], facts["rows"], len(facts["shown"])) == ("seed", 3, 2)
    assert facts == collect(tables, "seed", None, None, {}, 2)
    assert [r["seed_id"] for r in collect(tables, "seed", None, None, {"discipline": "0541"}, 9)["shown"]] == ["s2"]
    assert [r["draft_id"] for r in collect(tables, None, "draft", None, {"discipline": "0533"}, 9)["shown"]] == ["d1"]


def test_rejects_of_a_stage_come_with_the_draft_or_the_last_reply(tables):
    [disputed] = collect(tables, "refine", None, "disputed", {}, 9)["shown"]
    assert disputed["said"].startswith("Why?") and "B. else" in disputed["said"]
    assert [r["said"] for r in collect(tables, "synthesize", None, "all", {}, 9)["shown"]] == ["second"]
    assert [r["key"] for r in collect(tables, "refine", None, "all", {"discipline": "0541"}, 9)["shown"]] == ["d2"]


def test_rows_on_a_terminal_do_not_steer_it(tables):
    shown = StringIO()
    show(collect(tables, "refine", None, "disputed", {}, 9), Console(file=shown, width=100))
    assert "two against one" in shown.getvalue() and "\\u001b[2J" in shown.getvalue() and "\x1b" not in shown.getvalue()
    assert "1 of 1 rows of reject" in shown.getvalue()


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        (("sed", None, None, {}), "stage 'sed': there is none; a stage is one of seed, annotate"),
        ((None, "drafts", None, {}), "table 'drafts': there is none"),
        (("mix", None, None, {}), "no table mix in warehouse"),
        ((None, "completion", None, {"discipline": "0533"}), "--discipline: table completion has no such column"),
    ],
)
def test_what_there_is_not_is_named(tables, asked, part):
    with pytest.raises(ConfigError, match=part):
        collect(tables, *asked, 5)
