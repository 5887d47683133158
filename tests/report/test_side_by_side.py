"""side_by_side: each request with all that became of it, cut for a terminal."""

import hashlib
from io import StringIO

from rich.console import Console

from boostqa.report.side_by_side import items_of, show
from boostqa.schemas import TABLES
from boostqa.storage.scratch import Scratch
from tests.rows import exported, frame, stored


def call(request_id, sample, template="multi_grade", **changes):
    row = {"request_id": request_id, "stage": "synthesize", "template": template, "text": "{}"}
    costs = {"prompt_tokens": 100, "cached_tokens": 60, "generated_tokens": 10, "engine_seconds": 0.5}
    return row | {"sample_index": sample, "prompt": f"prompt {request_id}"} | costs | changes


def draft_id(plan_id, request_id):
    return hashlib.sha256(f"{plan_id}|{request_id}".encode()).hexdigest()


def reject(key, rule, *request_ids, stage="synthesize"):
    return {"stage": stage, "key": key, "rule": rule, "evidence": f"saw {rule}", "request_ids": list(request_ids)}


def test_items_hold_their_tries_what_ended_them_and_what_they_cost(spark, tmp_path):
    tables = Scratch(spark, str(tmp_path / "w"), None, ())
    again, easy = draft_id("kept", "k0"), draft_id("easy", "e0")
    rows = {
        "completion": [
            *(call(i, 0) for i in ("k0", "u0", "e0")),
            *(call(i, 100) for i in ("k1", "u1")),
            *(call(i, 0, "blind", stage="refine") for i in ("b0", "b1")),
            call("l", 0, "annotate_difficulty"),
        ],
        "plan": [{"plan_id": p, "seed_id": "s", "grade": "H5"} for p in ("kept", "unread", "easy")],
        "seed": [{"seed_id": "s", "text": "Force is mass times acceleration."}],
        "annotation": [
            {"item_id": "s", "difficulty": "H3"},
            {"item_id": "d", "item_table": "draft", "request_ids": ["l"]},
            {"item_id": easy, "item_table": "draft", "difficulty": "H2"},
        ],
        "draft": [{"draft_id": "d", "plan_id": "kept", "request_id": "k1"}],
        "refined": [{"draft_id": "d", "answer": "42", "blind_answers": ["42.0", "43"], "request_ids": ["b0", "b1"]}],
        "mix": [exported("d", text="Question: ...")],
        "reject": [
            reject(again, "truncated", "k0"),
            reject(draft_id("unread", "u0"), "truncated", "u0"),
            reject("unread", "unparsable", "u1"),
            reject(easy, "below_aim", "e0"),
            reject("of another", "unparsable"),
        ],
    }
    tables.create("completion")
    tables.insert("completion", frame(spark, TABLES["completion"], *rows.pop("completion")))
    for name, changes in rows.items():
        tables.write(name, stored(spark, TABLES[name], *changes))
    plan = [r.asDict() for r in tables.read("plan").collect()]
    kept, unread, below = sorted(items_of(tables, plan), key=lambda i: ("kept", "unread", "easy").index(i["plan_id"]))
    assert (kept["draft_id"], kept["text"], kept["filters"], kept["prompt"]) == ("d", "Question: ...", [], "prompt k1")
    assert [t["rule"] for t in kept["tries"]] == ["truncated"] and kept["seed"]["difficulty"] == "H3"
    assert [(a["answer"], a["equal"]) for a in kept["votes"]["answers"]] == [("42.0", True), ("43", False)]
    sums = {"requests": 5, "prompt_tokens": 500, "cached_tokens": 300, "generated_tokens": 50, "seconds": 2.5}
    assert kept["cost"] == sums
    assert (unread["draft_id"], unread["draft"], unread["reply"]) == (None, None, "{}")
    assert ([t["rule"] for t in unread["tries"]], unread["prompt"]) == (["truncated"], "prompt u1")
    ended = {"stage": "synthesize", "rule": "unparsable", "evidence": "saw unparsable"}
    assert unread["filters"] == [ended] and unread["cost"]["requests"] == 2
    assert (below["draft_id"], below["labels"]["difficulty"], below["tries"]) == (easy, "H2", [])
    assert below["filters"][0]["rule"] == "below_aim"


def test_show_puts_seed_and_prompt_side_by_side_cuts_long_texts_and_adds_up():
    seed = {"source": "notes", "title": "Work", "difficulty": "H2", "text": "w" * 800}
    asked = {
        "strategy": "multi_grade",
        "grade": "H3",
        "format": "proof",
        "discipline": "0533",
        "lever": None,
        "lang": "en",
    }
    cost = {"requests": 2, "prompt_tokens": 70, "cached_tokens": 60, "generated_tokens": 9, "seconds": 1.25}
    item = asked | {"seed": seed, "prompt": "Write [b]a[/b] question.", "reply": '{"que', "draft": None, "labels": None}
    ended = {"stage": "synthesize", "rule": "truncated", "evidence": "all of it"}
    item |= {"votes": None, "filters": [ended], "tries": [], "text": None, "tokens": None, "cost": cost}
    gate = {"table": "clean", "gate": "min_rows", "severity": "block", "success": False}
    gates = [gate | {"observed": "0 of 0 rows", "expected": "at least 1"}, gate | {"success": True}]
    total = {"requests": 5, "reused": 3, "prompt_tokens": 1, "generated_tokens": 1, "seconds": 4.2}
    out = StringIO()
    show({"items": [item], "gates": gates, "cost": total}, Console(file=out, width=100))
    shown = out.getvalue()
    assert "1 rejected: multi_grade, H3, proof, 0533, en" in shown and "Write [b]a[/b] question." in shown
    assert "... 100 characters more" in shown and "synthesize: truncated: all of it" in shown and "votes" not in shown
    assert "1 hold, 1 fail" in shown and "clean: min_rows (block): 0 of 0 rows (wanted: at least 1)" in shown
    assert "kept 0 of 1, 70 prompt and 9 generated tokens, 3 of 5 requests from the ledger, 4 s" in shown
