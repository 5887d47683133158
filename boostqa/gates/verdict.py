"""A VERDICT row without run_id, as the gates make it."""

from typing import Any


def verdict(table: str, gate: str, version: int, success: bool, observed: str, expected: str) -> dict[str, Any]:
    """One expectation or table-level gate, judged on a Delta version of its table."""
    return {
        "table": table, "gate": gate, "success": success, "observed": observed, "expected": expected, "version": version,
    }  # fmt: skip
