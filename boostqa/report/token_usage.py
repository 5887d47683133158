"""all tables -> token_usage. Grain: one cause, one stage that asked. Key: (stage, cause).

Every token of a completion that the current tables refer to, of its prompt and of its reply, is kept or lost to one
named cause; the shares of the generated ones add up to 1. A completion that several rows refer to counts once: to a
control when one of them is one, else as kept when one of them is. Of a control's completion all is `control`. Else
thinking is split off first; for the rest, and for the prompt, the first that applies: truncated; a label (the price of
measuring), a probe's score or a vote (the price of checking); a rewrite that was not used; else what became of the
item. A rule or a template of another release is a cause of its own name.

What is not here: completions of earlier confs and of other recipes in the same ledger (but for the scores of fluency,
to which no table refers), and requests that cost nothing (refused). It does not know why an item without reject is not in the mix unless a gate stopped the run: `unfinished`.
"""

from collections.abc import Collection
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.lookup import literal_map
from boostqa.schemas import TOKEN_USAGE
from boostqa.stages import (
    aim,
    annotate,
    clean,
    deduplicate,
    fitness,
    mix,
    probe,
    probe_labels,
    refine,
    seed,
    synthesize,
)
from boostqa.stages.rejects import Rule
from boostqa.storage.warehouse import Warehouse
from boostqa.vocabulary import CUT_OFF, STAGES, Cause, Outcome, Rewrite

TABLES_READ = (
    *("completion", "annotation", "probe", "draft", "refined", "clean", "student", "mix", "control", "reject"),
)
RULES: dict[str, tuple[Rule, ...]] = {  # by the stage that rejects
    "seed": seed.RULES,
    "annotate": annotate.RULES,
    "probe": (*probe.RULES, *probe_labels.RULES),
    "synthesize": (*synthesize.RULES, *aim.RULES, *fitness.RULES, *annotate.RULES, deduplicate.EXACT_DUPLICATE),
    "refine": (*refine.RULES, *fitness.RULES),
    "clean": clean.RULES,
    "mix": mix.RULES,
}
# Template -> what its completions are for; `item` and `rewrite` share the fate of the item.
_ITEM, _REWRITE = "item", "rewrite"
_ROLES = {
    "annotate_discipline": Cause.LABEL, "annotate_difficulty": Cause.LABEL, annotate.BLANK_TEMPLATE: Cause.LABEL,
    "blind": Cause.VOTE, "judge": Cause.VOTE,
    "multi_grade": _ITEM, "high_difficulty": _ITEM, "rewrite": _REWRITE, "probe": Cause.PROBE, "fluency": Cause.VOTE,
    "rubric": Cause.VOTE,
}  # fmt: skip
# Templates whose completions all count: no table refers to those of texts that say nothing, of seeds and of good items.
_IN_NO_TABLE = ("fluency", "rubric", annotate.BLANK_TEMPLATE)
_SUMS = ("completions", "prompt_tokens", "cached_tokens", "tokens")
COST = "generated_tokens > 0 or prompt_tokens > 0"  # of the ledger: what was paid for


def token_usage(frames: dict[str, DataFrame], blocked: Collection[str], runs: DataFrame | None = None) -> DataFrame:
    """TOKEN_USAGE rows of the tables TABLES_READ (empty where not written yet).

    `blocked` are the rounds whose gate refused what `clean` holds of them; `runs` [run_id, stage, retry_tokens] holds tokens
    that no completion shows, because their engine died or a request was answered twice: those of executions that paid for
    something here are its cause `retry`.
    """
    paid = frames["completion"].where(COST).select(
        "request_id", "stage", "run_id", "template", "finish_reason",
        "prompt_tokens", "cached_tokens", "generated_tokens", "thinking_tokens",
    )  # fmt: skip
    whole = F.col("template").isin(*_IN_NO_TABLE)
    referred = _referred(frames, frames["completion"].where(whole), blocked)
    rows = paid.join(referred, "request_id", "inner")  # both unique by request_id
    rows = rows.withColumn("thinking", F.when(F.col("of_control"), 0).otherwise(F.col("thinking_tokens")))
    split = rows.select("stage", "run_id", F.inline(_parts())).where(f"cause != '{Cause.THINKING}' or tokens > 0")
    costs = split.groupBy("stage", "run_id", "cause").agg(*(F.sum(name).alias(name) for name in _SUMS))
    if runs is not None:
        costs = _with_retries(costs, runs)
    by_cause = costs.groupBy("stage", "cause").agg(*(F.sum(name).alias(name) for name in _SUMS))
    total = F.sum("tokens").over(Window.partitionBy(F.lit(0)))  # a row for each stage and cause: few
    share = F.coalesce(F.try_divide("tokens", total), F.lit(0.0))  # of nothing, when all was scored
    return by_cause.withColumn("share", share).select(*TOKEN_USAGE.schema.names)


def _part(cause: Column | str, prompt: Column, cached: Column, generated: Column, completions: int = 1) -> Column:
    """struct of cause and _SUMS."""
    sums = dict(zip(_SUMS, (F.lit(completions), prompt, cached, generated), strict=True))
    return F.struct(F.lit(cause).alias("cause"), *(value.cast("long").alias(name) for name, value in sums.items()))


def _parts() -> Column:
    """The parts of a completion, array of _part: its thinking, then all the rest of it."""
    rest = F.col("generated_tokens") - F.col("thinking")
    return F.array(
        _part(Cause.THINKING, F.lit(0), F.lit(0), F.col("thinking")),
        _part(_cause(), F.col("prompt_tokens"), F.col("cached_tokens"), rest),
    )


def _with_retries(costs: DataFrame, runs: DataFrame) -> DataFrame:
    """`costs` by stage, run and cause, with a row `retry` for each execution that is among them and lost tokens."""
    per_run = costs.groupBy("stage", "run_id").agg(F.collect_list(F.struct("cause", *_SUMS)).alias("parts"))
    lost = runs.where("retry_tokens > 0").groupBy("stage", "run_id").agg(F.sum("retry_tokens").alias("lost"))
    retry = _part(Cause.RETRY, F.lit(0), F.lit(0), F.col("lost"), completions=0)
    both = per_run.join(lost, ["stage", "run_id"], "left")  # both unique by stage and run_id
    parts = F.when(F.col("lost").isNull(), F.col("parts")).otherwise(F.concat("parts", F.array(retry)))
    return both.select("stage", "run_id", F.inline(parts))


def _cause() -> Column:
    """Where a completion went, its thinking aside."""
    role = F.coalesce(F.try_element_at(literal_map(_ROLES), F.col("template")), F.lit(Cause.UNKNOWN_TEMPLATE))
    unused = (role == _REWRITE) & ~F.coalesce("rewritten", F.lit(False))
    return (
        F.when(F.col("of_control"), Cause.CONTROL)
        .when(F.col("finish_reason").isin(*CUT_OFF), Cause.TRUNCATION)
        .when(unused, Cause.REWRITE_UNUSED)
        .when(role.isin(_ITEM, _REWRITE, Cause.PROBE), F.coalesce("fate", role))
        .otherwise(role)
    )


def _lost_to() -> Column:
    """The cause of a reject; a rule of another release is its own cause."""
    causes = {f"{stage}.{rule.name}": rule.lost_to for stage, rules in RULES.items() for rule in rules if rule.lost_to}
    known = literal_map(causes)
    return F.coalesce(F.try_element_at(known, F.concat_ws(".", "stage", "rule")), "rule")


def _referred(frames: dict[str, DataFrame], more: DataFrame, blocked: Collection[str]) -> DataFrame:
    """[request_id, fate, rewritten, of_control] of every completion that a row refers to, and of `more`, unique by
    request_id.

    Grain before the grouping: one reference of a row to a completion. Labels and scores have no fate of their own.
    """
    rejects = frames["reject"].select("stage", "key", "request_ids", _lost_to().alias("fate"))
    fates = _fates(frames, rejects, blocked)  # unique by draft_id
    request_id, fate = F.explode("request_ids").alias("request_id"), F.coalesce("fate", F.lit(Cause.UNFINISHED))
    rewritten = (F.col("rewrite") == Rewrite.USED).alias("rewritten")
    refined = frames["refined"].select("draft_id", rewritten, request_id)
    drafts = frames["draft"].select("draft_id", "request_id")
    tables = ("annotation", "probe", "student")
    measured = reduce(DataFrame.unionByName, (frames[name].select("request_ids") for name in tables))
    of_measures = measured.select(request_id, F.lit(None).cast("string").alias("fate"))
    of_more = more.select("request_id", F.lit(None).cast("string").alias("fate"))
    of_controls = frames["control"].select(request_id, F.lit(Cause.CONTROL).alias("fate"))
    of_rejects = rejects.select(request_id, "fate")
    of_drafts = drafts.join(fates, "draft_id", "left").select("request_id", fate.alias("fate"))
    of_refined = refined.join(fates, "draft_id", "left").select("request_id", fate.alias("fate"), "rewritten")
    references = (
        of_measures.unionByName(of_more).unionByName(of_rejects).unionByName(of_drafts).unionByName(of_controls)
    )
    references = references.unionByName(of_refined, allowMissingColumns=True)
    one_kept = F.bool_or(F.col("fate") == Cause.KEPT)
    return references.groupBy("request_id").agg(
        F.when(one_kept, Cause.KEPT).otherwise(F.min("fate")).alias("fate"),
        F.bool_or("rewritten").alias("rewritten"),
        F.coalesce(F.bool_or(F.col("fate") == Cause.CONTROL), F.lit(False)).alias("of_control"),
    )


def _fates(frames: dict[str, DataFrame], rejects: DataFrame, blocked: Collection[str]) -> DataFrame:
    """[draft_id, fate] of every draft whose fate is known, unique by draft_id.

    Of two rejects of a draft the earlier stage's counts: the later one is from before that stage ran again.
    """
    order = F.array_position(F.array(*map(F.lit, STAGES)), F.col("stage"))
    kept = frames["mix"].select(
        F.explode("draft_ids").alias("draft_id"), F.lit(0).cast("long").alias("place"), F.lit(Cause.KEPT).alias("fate")
    )
    lost = rejects.where(F.col("stage").isin("refine", "clean", "mix")).select(
        F.col("key").alias("draft_id"), order.alias("place"), "fate"
    )
    known = kept.unionByName(lost)
    if blocked:
        last = F.lit(len(STAGES) + 1).cast("long").alias("place")
        stopped = frames["clean"].where(F.col("round").isin(*blocked))
        known = known.unionByName(stopped.select("draft_id", last, F.lit(Cause.GATE).alias("fate")))
    return known.groupBy("draft_id").agg(F.min_by("fate", "place").alias("fate"))


def write_token_usage(warehouse: Warehouse, run_id: str) -> dict[str, dict[str, int]]:
    """Write table `token_usage` from the tables as they are now; returns its sums by cause, each a dict of _SUMS ({}
    when no model was asked)."""
    if not warehouse.exists("completion"):
        return {}
    frames = {name: warehouse.rows(name) for name in TABLES_READ}
    runs = warehouse.read("run").select("run_id", "stage", "retry_tokens") if warehouse.exists("run") else None
    rows = token_usage(frames, _blocked(warehouse), runs).collect()  # a row for each stage and cause: few
    stored = warehouse.spark.createDataFrame(rows, TOKEN_USAGE.schema)
    warehouse.write("token_usage", stored, metadata={"run_id": run_id})
    by_cause: dict[str, dict[str, int]] = {}
    for row in rows:
        sums = by_cause.setdefault(row["cause"], dict.fromkeys(_SUMS, 0))
        for name in _SUMS:
            sums[name] += row[name]
    return by_cause


def _blocked(warehouse: Warehouse) -> list[str]:
    """The rounds whose gate refused what `clean` holds of them; a verdict on what was there before says nothing of it."""
    if not (warehouse.exists("verdict") and warehouse.exists("clean")):
        return []
    verdicts = warehouse.read("verdict").select("round", "table", "version", "outcome").collect()
    blocked = {v["round"] for v in verdicts if v["outcome"] == Outcome.BLOCKS}
    judged = {v["round"]: v["version"] for v in verdicts if v["table"] == "clean"}

    def is_present(name: str) -> bool:
        return all(c.get("round", name) != name for c in warehouse.commits_since("clean", judged[name]))

    return sorted(name for name in blocked & judged.keys() if is_present(name))
