"""quarantine list, show, release, replay: who, when and why stand in the table, and nothing is edited."""

from io import StringIO

import pytest
from rich.console import Console

from boostqa.errors import ConfigError
from boostqa.gates.decisions import decide, listing, story
from boostqa.report.quarantine import show
from boostqa.schemas import TABLES
from boostqa.stages.quarantine import item_hash
from boostqa.storage.warehouse import Warehouse
from boostqa.vocabulary import QuarantineEvent
from tests.rows import frame, stored

RELEASED, REPLAYED = QuarantineEvent.RELEASED, QuarantineEvent.REPLAYED
HELD = {"event": "quarantined", "number": 1, "who": "gate", "clean_version": 1}


def test_people_decide_by_name_or_gate_and_every_decision_is_a_row_more(spark, tmp_path):
    warehouse = Warehouse(spark, str(tmp_path))
    with pytest.raises(ConfigError, match="run the gate first"):
        listing(warehouse)
    warehouse.write("clean", stored(spark, TABLES["clean"], {"draft_id": "ab1"}, {"draft_id": "ab2"}))
    hashes = {
        r["draft_id"]: r["hash"]
        for r in warehouse.read("clean").select("draft_id", item_hash().alias("hash")).collect()
    }
    rows = [
        {**HELD, "draft_id": "ab1", "gate": "contaminated", "item_hash": hashes["ab1"], "evidence": "mmlu/7 [x]: why"},
        {**HELD, "draft_id": "ab1", "gate": "languages", "item_hash": hashes["ab1"]},
        {**HELD, "draft_id": "ab2", "gate": "languages", "item_hash": 5},
    ]
    warehouse.append("quarantine", frame(spark, TABLES["quarantine"], *rows))
    for event, items, gate, why, said in (
        (RELEASED, [], None, "fine", "name items, or a gate"),
        (RELEASED, ["ab1"], None, " ", "needs a reason"),
        (RELEASED, ["ab", "x"], None, "fine", "'ab': 2 items; 'x': no item"),
    ):
        with pytest.raises(ConfigError, match=said):
            decide(warehouse, event, items, gate, "ann", why)
    before = warehouse.version("quarantine")
    assert decide(warehouse, RELEASED, ["ab1"], "contaminated", "ann", "common phrase") == 1
    assert warehouse.version("quarantine") == before + 1
    assert decide(warehouse, REPLAYED, [], "languages", "bob", None) == 2
    assert warehouse.read("quarantine").count() == 6

    found = listing(warehouse)
    assert found["counts"] == [
        {"gate": "contaminated", "state": "released", "items": 1}, {"gate": "languages", "state": "replayed", "items": 2}
    ]  # fmt: skip
    last = found["items"][-1]
    assert (last["draft_id"], last["who"], last["why"]) == ("ab1", "ann", "common phrase")
    assert [i["current"] for i in found["items"]] == [True, False, True]
    told = story(warehouse, "ab1")
    assert told["item"]["question"] == "Why is the sky blue?"
    assert told["states"] == {"contaminated": "released", "languages": "replayed"}
    assert [(e["gate"], e["number"], e["event"]) for e in told["history"]][:2] == [
        ("contaminated", 1, "quarantined"), ("contaminated", 2, "released")
    ]  # fmt: skip
    shown = StringIO()
    show(found, Console(file=shown, width=160))
    assert "mmlu/7 [x]: why" in shown.getvalue() and "common phrase" in shown.getvalue()
