"""Why an item is in the mix or not."""

from typing import Any

from pyspark.sql import functions as F

from boostqa.errors import ConfigError
from boostqa.storage.warehouse import Warehouse


def explain(warehouse: Warehouse, item: str) -> dict[str, Any]:
    """Every row that tells of a draft, by table. Raises ConfigError when no draft's id starts with `item`."""
    drafts = warehouse.read("draft").where(F.col("draft_id").startswith(item)).limit(2).collect()
    if len(drafts) != 1:
        raise ConfigError(f"{'no draft' if not drafts else 'more than one draft'} has an id that starts with {item!r}")
    draft = drafts[0].asDict(recursive=True)
    keys = {
        "mix": ("draft_id", draft["draft_id"]),
        "clean": ("draft_id", draft["draft_id"]),
        "refined": ("draft_id", draft["draft_id"]),
        "contamination": ("draft_id", draft["draft_id"]),
        "quarantine": ("draft_id", draft["draft_id"]),
        "annotation": ("item_id", draft["draft_id"]),
        "reject": ("key", draft["draft_id"]),
        "completion": ("request_id", draft["request_id"]),
        "plan": ("plan_id", draft["plan_id"]),
        "seed": ("seed_id", draft["seed_id"]),
    }
    story: dict[str, Any] = {"draft": draft}
    for table, (column, value) in keys.items():
        if warehouse.exists(table):
            rows = warehouse.read(table).where(F.col(column) == value).collect()
            story[table] = [r.asDict(recursive=True) for r in rows]
    return story
