"""report: the bill is written from the tables there are and shown as shares of 100%."""

from datetime import datetime
from io import StringIO

import pytest
from rich.console import Console

from boostqa import prompts, report
from boostqa.schemas import TABLES
from boostqa.tables import Warehouse

BY_TYPE = {
    "string": "x",
    "int": 0,
    "bigint": 0,
    "double": 0.0,
    "timestamp": datetime(2026, 1, 1),
    "boolean": True,
    "array<string>": [],
}


@pytest.fixture
def warehouse(spark, tmp_path):
    return Warehouse(spark, str(tmp_path / "warehouse"))


def write(warehouse, name, *changes):
    table = TABLES[name]
    default = {c.name: None if c.nullable else BY_TYPE.get(c.dataType.simpleString(), {}) for c in table.columns}
    rows = [tuple((default | change).values()) for change in changes]
    warehouse.write(name, warehouse.spark.createDataFrame(rows, table.schema))


def asked(request_id, tokens, **changes):
    template = prompts.load("multi_grade").sha256
    row = {"request_id": request_id, "stage": "synthesize", "template": template, "finish_reason": "stop"}
    return row | {"generated_tokens": tokens, "run_id": "r1"} | changes


def test_bill_without_any_generation_is_not_written(warehouse):
    assert report.write_bill(warehouse, "r1") == {} and not warehouse.exists("bill")


def test_bill_is_written_from_the_tables_there_are_and_shown_with_what_is_outside(warehouse):
    write(warehouse, "completion", asked("a", 60, thinking_tokens=20), asked("b", 30), asked("of another conf", 7))
    write(warehouse, "draft", {"draft_id": "a", "request_id": "a"}, {"draft_id": "b", "request_id": "b"})
    write(warehouse, "clean", {"draft_id": "b"})
    write(warehouse, "run", {"run_id": "r1", "stage": "synthesize", "retry_tokens": 10})
    failed = {"table": "clean", "gate": "min_rows", "success": False}
    write(warehouse, "verdict", failed | {"version": warehouse.version("clean")})
    tokens = {"thinking": 20, "unfinished": 40, "gate": 30, "retry": 10}
    assert report.write_bill(warehouse, "r1") == tokens
    facts = report.collect(warehouse)
    assert facts["bill"]["outside"] == {"completions": 1, "tokens": 7}
    assert [(r["cause"], r["share"]) for r in facts["bill"]["causes"]] == [
        ("unfinished", 0.4), ("gate", 0.3), ("thinking", 0.2), ("retry", 0.1)
    ]  # fmt: skip
    shown = StringIO()
    report.show(facts, Console(file=shown, width=160))
    lines = [line.replace("│", " ").split() for line in shown.getvalue().splitlines()]
    assert ["unfinished", "1", "40", "40.0%"] in lines and ["all", "100", "100.0%"] in lines
    assert "not in it: 7 tokens of 1 completions" in shown.getvalue()
    before = facts["tables"]["bill"]["hash"]
    write(warehouse, "clean", {"draft_id": "b"})  # a version the gate has not judged
    assert report.write_bill(warehouse, "r2") == {"thinking": 20, "unfinished": 70, "retry": 10}
    write(warehouse, "verdict", failed | {"version": warehouse.version("clean")})
    assert report.write_bill(warehouse, "r3") == tokens
    assert report.collect(warehouse)["tables"]["bill"]["hash"] == before
