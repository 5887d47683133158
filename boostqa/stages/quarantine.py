"""quarantine (history), clean -> who is held back. Grain of the history: one event of an item under one gate.

An event is about one content of an item (`item_hash`). The last event of an item under a gate counts, and only while the
content is the same; another content is judged afresh:

    quarantined   out of the mix until a person decides, also where the gate holds in a later run
    released      not held back by this gate again
    replayed      judged afresh by the next gate run, and out of the mix until then
    cleared       judged afresh and let through; later runs judge it as any other item

Rows are only ever added, so a release is a new Delta version and nothing that was decided is lost. What is not known
here: items that two people decide on at the same moment; the later time counts.
"""

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.schemas import CLEAN, QUARANTINE
from boostqa.stages.rejects import Rule, breaks_rule, reject_rows
from boostqa.vocabulary import Cause, QuarantineEvent

QUARANTINED = Rule("quarantined", Cause.GATE)
OUT = (QuarantineEvent.QUARANTINED, QuarantineEvent.REPLAYED)  # last events that keep an item out of the mix
GATE = "gate"  # in `who`, of events that no person decided


def item_hash() -> Column:
    """Hash of a CLEAN row's content."""
    return F.xxhash64(F.to_json(F.struct(*CLEAN.stable_columns), {"ignoreNullFields": "false"}))


def states(history: DataFrame) -> DataFrame:
    """QUARANTINE rows -> the last one of each item under each gate; unique by draft_id and gate."""
    last = F.max_by(F.struct(*QUARANTINE.schema.names), F.struct("number", "at")).alias("last")
    return history.groupBy("draft_id", "gate").agg(last).select("last.*")


def held(clean: DataFrame, history: DataFrame) -> DataFrame:
    """CLEAN rows that are kept out of the mix -> [draft_id, evidence], unique by draft_id; the evidence names each
    gate."""
    items = clean.select("draft_id", item_hash().alias("item_hash"))  # unique by draft_id
    out = states(history).where(F.col("event").isin(*OUT))
    why = F.array_join(F.sort_array(F.collect_list(F.concat_ws(": ", "gate", "evidence"))), " | ")
    return out.join(items, ["draft_id", "item_hash"], "left_semi").groupBy("draft_id").agg(why.alias("evidence"))


def split(clean: DataFrame, history: DataFrame) -> tuple[DataFrame, DataFrame]:
    """CLEAN rows -> (those that may go on, rejects `quarantined` of stage mix)."""
    out = held(clean, history)
    rejects = out.withColumn("broken_rule", breaks_rule(QUARANTINED, F.col("evidence")))
    return clean.join(out, "draft_id", "left_anti"), reject_rows(rejects, "mix", "draft_id")


def with_states(broken: DataFrame, history: DataFrame) -> DataFrame:
    """[draft_id, item_hash, gate, evidence], unique by draft_id and gate -> the same with `event`, the last one about
    this content under the gate (null where there is none), and `number`, that of the last one about any content (0)."""
    known = states(history).select(
        "draft_id", "gate", "number", F.col("event").alias("last"), F.col("item_hash").alias("last_hash")
    )
    rows = broken.join(known, ["draft_id", "gate"], "left")  # both unique by draft_id and gate
    event = F.when(F.col("last_hash") == F.col("item_hash"), F.col("last")).alias("event")
    return rows.select(*broken.columns, event, F.coalesce("number", F.lit(0)).alias("number"))


def new_events(judged: DataFrame, clean: DataFrame, history: DataFrame) -> DataFrame:
    """Result of `with_states` for the gates that hold rows back -> [draft_id, gate, number, item_hash, event, evidence]
    of what is new: `quarantined` for rows neither held under the gate nor released, `cleared` for those that waited to
    be judged afresh and are not held back again."""
    columns = ("draft_id", "gate", "number", "item_hash", "event", "evidence")
    settled = F.coalesce(F.col("event").isin(QuarantineEvent.QUARANTINED, QuarantineEvent.RELEASED), F.lit(False))
    into = judged.where(~settled).withColumn("event", F.lit(QuarantineEvent.QUARANTINED)).select(*columns)
    items = clean.select("draft_id", item_hash().alias("item_hash"))  # unique by draft_id
    waited = states(history).where(F.col("event") == QuarantineEvent.REPLAYED)
    waited = waited.join(items, ["draft_id", "item_hash"], "left_semi").join(into, ["draft_id", "gate"], "left_anti")
    cleared = waited.withColumn("event", F.lit(QuarantineEvent.CLEARED)).select(*columns)
    return into.unionByName(cleared).withColumn("number", F.col("number") + 1)


def stamped(events: DataFrame, clean_version: int, run_id: str, at: datetime) -> DataFrame:
    """Result of `new_events` -> QUARANTINE rows, of a gate run and the version of `clean` that it judged."""
    stamp = {
        "who": F.lit(GATE), "why": F.lit(None).cast("string"), "at": F.lit(at),
        "clean_version": F.lit(clean_version).cast("long"), "run_id": F.lit(run_id),
    }  # fmt: skip
    return events.withColumns(stamp).select(*QUARANTINE.schema.names)


def decisions(chosen: DataFrame, event: QuarantineEvent) -> DataFrame:
    """Rows of `states` -> QUARANTINE rows of the next event of each, but for who, why and at."""
    kept = ("draft_id", "gate", "item_hash", "evidence", "clean_version")
    number = (F.col("number") + 1).alias("number")
    return chosen.select(*kept, number, F.lit(event).alias("event"), F.lit(None).cast("string").alias("run_id"))
