"""What people decide about quarantine: list, show, release, replay. Every decision is a row more, with who, when, why."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.errors import ConfigError
from boostqa.stages.quarantine import decisions, item_hash, states
from boostqa.storage.warehouse import Warehouse
from boostqa.vocabulary import QuarantineEvent

LISTED = 1000  # items; the table quarantine holds them all
TIME = "yyyy-MM-dd'T'HH:mm:ss'Z'"  # sessions run in UTC
ITEM = ("draft_id", "question", "choices", "answer", "solution", "generator", "refiner", "source", "licence")


def _history(warehouse: Warehouse) -> DataFrame:
    if not warehouse.exists("quarantine"):
        raise ConfigError(f"no quarantine in warehouse {warehouse.location}: run the gate first: boostqa run --to gate")
    return warehouse.read("quarantine")


def _of_gate(rows: DataFrame, gate: str | None) -> DataFrame:
    return rows if gate is None else rows.where(F.col("gate") == gate)


def listing(warehouse: Warehouse, gate: str | None = None) -> dict[str, Any]:
    """{"counts": items by gate and state, "items": the last event of each, those held back first, at most LISTED}.

    An item stands there once for each gate; `current` says whether `clean` still holds it with this content.
    """
    last = _of_gate(states(_history(warehouse)), gate).withColumnRenamed("event", "state")
    counts = last.groupBy("gate", "state").agg(F.count("*").alias("items")).orderBy("gate", "state").collect()
    present = warehouse.read("clean").select("draft_id", item_hash().alias("item_hash"), F.lit(True).alias("current"))
    waiting = F.col("state").isin(QuarantineEvent.QUARANTINED, QuarantineEvent.REPLAYED)
    items = last.orderBy(~waiting, "gate", "draft_id").limit(LISTED).join(present, ["draft_id", "item_hash"], "left")
    columns = (
        "gate",
        "state",
        "draft_id",
        "evidence",
        "who",
        "why",
        F.date_format("at", TIME).alias("at"),
        F.coalesce("current", F.lit(False)).alias("current"),
    )
    shown = items.orderBy(~waiting, "gate", "draft_id").select(*columns).collect()
    return {"counts": [r.asDict() for r in counts], "items": [r.asDict() for r in shown]}


def story(warehouse: Warehouse, draft_id: str) -> dict[str, Any]:
    """{"item": the row of clean or null, "states": gate -> state, "history": every event in order} of an item whose id
    starts with `draft_id`.

    Raises ConfigError when no item or more than one has such an id.
    """
    history = _history(warehouse)
    item = _resolve(history, [draft_id])[0]
    events = history.where(F.col("draft_id") == item).orderBy("gate", "number", "at")
    rows = events.withColumn("at", F.date_format("at", TIME)).collect()
    found = warehouse.read("clean").where(F.col("draft_id") == item).select(*ITEM).first()
    return {
        "item": found and found.asDict(),
        "states": {r["gate"]: r["event"] for r in rows},
        "history": [r.asDict() for r in rows],
    }


def _resolve(history: DataFrame, starts: Sequence[str]) -> list[str]:
    """The whole ids of items, from their first characters."""
    wanted = F.exists(F.array(*map(F.lit, starts)), lambda start: F.col("draft_id").startswith(start))
    known = [r["draft_id"] for r in history.where(wanted).select("draft_id").distinct().limit(LISTED).collect()]
    found = {start: [i for i in known if i.startswith(start)] for start in starts}
    if wrong := {start: ids for start, ids in found.items() if len(ids) != 1}:
        told = (f"{start!r}: {f'{len(ids)} items' if ids else 'no item'}" for start, ids in wrong.items())
        raise ConfigError("an id must name one item of quarantine: " + "; ".join(told))
    return [ids[0] for ids in found.values()]


def decide(
    warehouse: Warehouse, event: QuarantineEvent, items: Sequence[str], gate: str | None, who: str, why: str | None
) -> int:
    """Release or replay items (by the first characters of their ids), or all under a gate; returns the decisions made.

    A release is for what is held back, a replay for what is held back or released: the next gate run judges it afresh.
    Raises ConfigError when neither is given, a release has no reason, or nothing is in a state to decide on.
    """
    if not items and gate is None:
        raise ConfigError(f"name items, or a gate with --gate, to have {event}")
    if event == QuarantineEvent.RELEASED and not (why and why.strip()):
        raise ConfigError("a release needs a reason: --why TEXT")
    history = _history(warehouse)
    before = {
        QuarantineEvent.RELEASED: (QuarantineEvent.QUARANTINED, QuarantineEvent.REPLAYED),
        QuarantineEvent.REPLAYED: (QuarantineEvent.QUARANTINED, QuarantineEvent.RELEASED),
    }[event]
    chosen = _of_gate(states(history), gate).where(F.col("event").isin(*before))
    if items:
        chosen = chosen.where(F.col("draft_id").isin(_resolve(history, items)))
    stamp = {"who": F.lit(who), "why": F.lit(why).cast("string"), "at": F.lit(datetime.now(UTC))}
    rows = decisions(chosen, event).withColumns(stamp).persist()
    if not (n := rows.count()):
        raise ConfigError(
            f"nothing to have {event}: no such item is {' or '.join(before)}; see boostqa quarantine list"
        )
    warehouse.append("quarantine", rows, {"event": event, "who": who, "why": why})
    rows.unpersist()
    return n
