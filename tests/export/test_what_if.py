import json
from itertools import islice
from pathlib import Path

import pytest
from rich.console import Console

from boostqa import config
from boostqa.errors import GateFailed
from boostqa.export.what_if import show, what_if
from boostqa.schemas import TABLES
from boostqa.storage.scratch import Scratch
from boostqa.vocabulary import Outcome
from tests.processes import DEMO
from tests.rows import alike, stored, word_tokenizer


@pytest.fixture
def tables(spark, tmp_path):
    """Four items of 6 tokens in each of two cells, one of them held back; budgets of 300 and 100."""
    (tmp_path / "tokenizer.json").write_text(word_tokenizer())
    text = {"question": "Why?", "answer": "Because.", "solution": "It follows."}
    rows = {
        "clean": [
            text | {"draft_id": draft_id, "difficulty": d, "discipline": "0541"}
            for d in ("H4", "H1")
            for draft_id in islice(alike(d), 4)
        ],
        "budget": [{"discipline": "0541", "difficulty": d, "tokens": n} for d, n in (("H4", 300), ("H1", 100))],
        "verdict": [{"table": "clean", "gate": "min_rows", "outcome": Outcome.HOLDS}],
        "quarantine": [],
    }
    found = Scratch(spark, str(tmp_path), None, ())
    found.written = {name: stored(spark, TABLES[name], *some) for name, some in rows.items()}
    return found


def of(tables, tokens, *more):
    return config.load(DEMO, [*more, f"mix.tokens={tokens}", f"tokenizer={Path(tables.location) / 'tokenizer.json'}"])


def test_what_if_says_tokens_by_cell_and_where_a_cell_is_short_of_its_share(tables):
    found = what_if(tables, of(tables, 40))
    assert (found["there"], found["taken"], found["short"]) == (48, 36, 4)  # within one document
    cells = {c["cell"]: (c["asked"], c["there"], c["taken"], c["short"]) for c in found["cells"]}
    assert cells == {"0541/H4": (30, 24, 24, 6), "0541/H1": (10, 24, 16, 0)}
    assert found["components"] == {"synthesized": {"asked": 40, "there": 48, "taken": 40, "short": {"0541/H4": 6}}}
    assert found["by"]["round"] == {"main": 36} and found["rounds"] == ["main"]
    all_of_it = what_if(tables, of(tables, 1000, "mix.passes=1"))
    assert what_if(tables, of(tables, 1000, "mix.passes=4"))["taken"] == 4 * 48
    assert (all_of_it["taken"], all_of_it["short"]) == (48, 952)
    console = Console(width=120, record=True)
    show(all_of_it, console)
    assert "48 of 1,000 tokens (952 short), of 48 that are fit for the mix" in console.export_text()
    assert json.dumps(found)


def test_what_if_the_gates_let_nothing_pass_is_said(spark, tables):
    blocked = stored(spark, TABLES["verdict"], {"table": "clean", "gate": "min_rows", "outcome": Outcome.BLOCKS})
    tables.written["verdict"] = blocked
    with pytest.raises(GateFailed, match="the gates let no round pass"):
        what_if(tables, of(tables, 40))
