"""A line that made five requests of two fields, one of them hostile, as rows: for what shows a whole warehouse."""

from datetime import UTC, datetime

from boostqa.schemas import TABLES
from boostqa.storage.scratch import Scratch
from tests.rows import exported, stored

EVIL = (
    '</p></script><script>fetch("https://evil.example/")</script>'
    '<img src="https://evil.example/x.png" onerror=document.title=1>'
)


def rows():
    """Table -> what its rows say."""
    at = {"finished_at": datetime(2026, 1, 2, tzinfo=UTC), "run_id": "run 1"}
    cells = [("0533", "H4"), ("0533", "H5"), ("0541", "H4"), ("0541", "H4"), ("0541", "H5")]
    plan = [
        {"plan_id": f"p{n}", "seed_id": "s", "discipline": code, "grade": grade, "strategy": "high_difficulty"}
        for n, (code, grade) in enumerate(cells)
    ]
    draft = [p | {"draft_id": f"d{n}", "request_id": f"r{n}", "difficulty": "H3"} for n, p in enumerate(plan[:4])]
    draft[1] |= {"question": EVIL, "solution": "\u202eturned\x1b[31m \\frac{1}{2}"}
    return {
        "plan": plan,
        "seed": [{"seed_id": "s", "text": "Force is mass times acceleration."}],
        "draft": draft,
        "annotation": [{"item_id": f"d{n}", "item_table": "draft", "difficulty": "H3"} for n in range(4)],
        "refined": [{"draft_id": f"d{n}", "answer": "42", "blind_answers": ["42"], "votes": 1} for n in range(2)],
        "clean": [{"draft_id": f"d{n}"} for n in range(2)],
        "mix": [exported("d0", text="Question: Why?", tokens=1234)],
        "reject": [
            *({"stage": "refine", "key": f"d{n}", "rule": "disputed", "evidence": EVIL} for n in (2, 3)),
            *({"stage": "seed", "key": f"file:{n}", "rule": "too_short", "evidence": f"{n} words"} for n in range(9)),
            {"stage": "clean", "key": "d1", "rule": "cut_off", "evidence": "no end"},
        ],
        "completion": [
            {"request_id": f"r{n}", "stage": "synthesize", "template": "high_difficulty", "generated_tokens": 10}
            for n in range(5)
        ],
        "token_usage": [
            {"cause": "kept", "stage": "synthesize", "completions": 1, "tokens": 10, "share": 0.25},
            {"cause": "dispute", "stage": "refine", "completions": 2, "tokens": 30, "share": 0.75},
        ],
        "probe": [
            {"checkpoint": "ckpt/1", "items": n, "accuracy": k / n, "wilson_low": 0.1, "wilson_high": 0.9, "chance": 0.25,
             "discipline": code, "difficulty": "H4"}
            for code, k, n in (("0533", 1, 4), ("0541", 3, 4))
        ],
        "budget": [{"discipline": code, "difficulty": grade, "tokens": 2500, "requests": 3} for code, grade in cells[:3]],
        "measured": [{"draft_id": f"d{n}", "grade": grade, "difficulty": "H3"} for n, (_, grade) in enumerate(cells[:4])],
        "power": [
            {"check": "line", "defect": "none", "items": 10, "passed": 9, "wilson_low": 0.6, "wilson_high": 0.98},
            {"check": "line", "defect": "cut_off", "items": 5, "passed": 1, "wilson_low": 0.0, "wilson_high": 0.6},
        ],
        "contamination": [{"draft_id": "d1", "benchmark": "mmlu", "kind": "verbatim", "item_text": EVIL, "score": 1.0}],
        "verdict": [
            {"table": "clean", "gate": "min_rows", "outcome": "holds"},
            {"table": "refined", "gate": "unexplained", "outcome": "warns", "observed": EVIL, "success": False},
        ],
        "run": [
            at | {"stage": "plan", "rows_in": 7, "kept": 5, "rejected": 0, "fan_out": -2},
            at | {"stage": "refine", "rows_in": 4, "kept": 2, "rejected": 2, "rejected_by_rule": {"disputed": 2}},
            at | {"stage": "seed", "rows_in": 12000, "kept": 11991, "rejected": 9, "rejected_by_rule": {"too_short": 9}},
        ],
    }  # fmt: skip


def tables(spark, folder):
    """The tables of a warehouse, in memory."""
    found = Scratch(spark, str(folder), None, ())
    found.written = {name: stored(spark, TABLES[name], *some) for name, some in rows().items()}
    return found
