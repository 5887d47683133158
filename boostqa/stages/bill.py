"""all tables -> bill. Grain: one cause, one stage that asked. Key: (stage, cause).

Every generated token of a completion that the current tables refer to is kept or lost to one named cause, so the shares
add up to 1. A completion that several rows refer to counts once, and as kept when one of them is. Thinking is split off
first; for the rest the first that applies: truncated; a label (the price of measuring) or a vote (the price of checking);
a rewrite that was not used; else what became of the item. A rule or a template that nobody entered here is a cause of its
own name.

What is not here: completions of earlier confs and of other lines in the same ledger, scored prompts (no token generated),
prompt tokens. It does not know why an item without reject is not in the mix unless a gate stopped the line: `unfinished`.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.schemas import BILL, STAGES

TABLES_READ = ("completion", "annotation", "draft", "refined", "clean", "mix", "reject")
# Template -> what its completions are for; `item` and `rewrite` share the fate of the item.
_ROLES = {
    "annotate_discipline": "label", "annotate_difficulty": "label", "blind": "vote", "judge": "vote",
    "multi_grade": "item", "high_difficulty": "item", "rewrite": "rewrite",
}  # fmt: skip
# Stage that rejected an item -> cause -> its rules.
_LOST: dict[str, dict[str, tuple[str, ...]]] = {
    "synthesize": {
        "parse_failure": ("unparsable", "choices_invalid", "empty", "refusal", "invalid_text"),
        "degradation": ("below_aim",),
        "unlabelled": ("discipline_cannot_tell", "difficulty_cannot_tell", "annotation_failed"),
    },
    "refine": {"dispute": ("disputed", "no_blind_answer")},
    "clean": {
        "duplicate": ("exact_duplicate", "near_duplicate", "near_duplicate_of_seed"),
        "contamination": ("contaminated",),
        "rule": (
            "question_too_short", "question_too_long", "refers_to_passage", "chat_tokens", "repetition",
            "choices_invalid", "empty_answer", "language_mismatch", "placeholder",
        ),
    },
    "mix": {"over_budget": ("over_budget",)},
}  # fmt: skip


def bill(
    frames: dict[str, DataFrame], templates: dict[str, str], gate_failed: bool, runs: DataFrame | None = None
) -> DataFrame:
    """BILL rows of the tables TABLES_READ (empty where not written yet).

    `templates` is template sha256 -> name; `gate_failed` says that the gate refused the present `clean` table; `runs`
    [run_id, stage, retry_tokens] (unique by the first two) holds tokens that no completion shows, because their engine
    died or a request was answered twice: those of executions that paid for something in the bill are its cause `retry`.
    """
    spent = frames["completion"].where("generated_tokens > 0").select(
        "request_id", "stage", "run_id", "template", "finish_reason", "generated_tokens", "thinking_tokens"
    )  # fmt: skip
    rows = spent.join(_uses(frames, gate_failed), "request_id", "inner")  # both unique by request_id
    rest = F.col("generated_tokens") - F.col("thinking_tokens")
    parts = F.array(
        F.struct(F.lit("thinking").alias("cause"), F.col("thinking_tokens").alias("tokens")),
        F.struct(_cause(templates).alias("cause"), rest.alias("tokens")),
    )
    split = rows.select("stage", "run_id", F.inline(parts)).where("cause != 'thinking' or tokens > 0")
    costs = split.groupBy("stage", "run_id", "cause").agg(
        F.count("*").alias("completions"), F.sum("tokens").alias("tokens")
    )
    if runs is not None:
        costs = _with_retries(costs, runs)
    by_cause = costs.groupBy("stage", "cause").agg(
        F.sum("completions").alias("completions"), F.sum("tokens").alias("tokens")
    )
    total = F.sum("tokens").over(Window.partitionBy(F.lit(0)))  # a row for each stage and cause: few
    return by_cause.withColumn("share", F.try_divide("tokens", total)).select(*BILL.schema.names)


def _with_retries(costs: DataFrame, runs: DataFrame) -> DataFrame:
    """`costs` by stage, run and cause, with a row `retry` for each execution that is among them and lost tokens."""
    per_run = costs.groupBy("stage", "run_id").agg(
        F.collect_list(F.struct("cause", "completions", "tokens")).alias("parts")
    )
    lost = runs.where("retry_tokens > 0").select("stage", "run_id", F.col("retry_tokens").alias("lost"))
    retry = F.struct(
        F.lit("retry").alias("cause"), F.lit(0).cast("long").alias("completions"), F.col("lost").alias("tokens")
    )
    both = per_run.join(lost, ["stage", "run_id"], "left")  # both unique by stage and run_id
    parts = F.when(F.col("lost").isNull(), F.col("parts")).otherwise(F.concat("parts", F.array(retry)))
    return both.select("stage", "run_id", F.inline(parts))


def _cause(templates: dict[str, str]) -> Column:
    """Where the tokens of a completion went that are not thinking."""
    pairs = [F.lit(x) for sha256, name in templates.items() for x in (sha256, _ROLES.get(name, name))]
    role = F.coalesce(F.try_element_at(F.create_map(*pairs), F.col("template")), F.lit("unknown_template"))
    unused = (role == "rewrite") & ~F.coalesce("rewritten", F.lit(False))
    return (
        F.when(F.col("finish_reason") == "length", "truncation")
        .when(unused, "rewrite_unused")
        .when(role.isin("item", "rewrite"), F.coalesce("fate", role))
        .otherwise(role)
    )


def _uses(frames: dict[str, DataFrame], gate_failed: bool) -> DataFrame:
    """[request_id, fate, rewritten] of every completion that a row refers to, unique by request_id."""
    rejects = frames["reject"].select("stage", "key", "request_ids", _loss().alias("fate"))
    fates = _fates(frames, rejects, gate_failed)
    no_fate, asked = F.lit(None).cast("string").alias("fate"), F.explode("request_ids").alias("request_id")
    drafts = frames["draft"].select("draft_id", "request_id")
    refined = frames["refined"].select("draft_id", (F.col("rewrite") == "rewritten").alias("rewritten"), asked)
    uses = (
        frames["annotation"].select(asked, no_fate),
        rejects.select(asked, "fate"),
        drafts.join(fates, "draft_id", "left").select("request_id", _or_unfinished()),  # fates: unique by draft_id
        refined.join(fates, "draft_id", "left").select("request_id", _or_unfinished(), "rewritten"),
    )
    every = uses[0]
    for more in uses[1:]:
        every = every.unionByName(more, allowMissingColumns=True)
    return every.groupBy("request_id").agg(
        F.when(F.bool_or(F.col("fate") == "kept"), "kept").otherwise(F.min("fate")).alias("fate"),
        F.bool_or("rewritten").alias("rewritten"),
    )


def _or_unfinished() -> Column:
    return F.coalesce("fate", F.lit("unfinished")).alias("fate")


def _loss() -> Column:
    """The cause of a reject; a rule that is not listed is its own cause."""
    pairs = [
        F.lit(x)
        for stage, causes in _LOST.items()
        for cause, rules in causes.items()
        for rule in rules
        for x in (f"{stage}.{rule}", cause)
    ]
    return F.coalesce(F.try_element_at(F.create_map(*pairs), F.concat_ws(".", "stage", "rule")), "rule")


def _fates(frames: dict[str, DataFrame], rejects: DataFrame, gate_failed: bool) -> DataFrame:
    """[draft_id, fate] of every draft whose fate is known, unique by draft_id.

    Of two rejects of a draft the earlier stage's counts: the later one is from before that stage ran again.
    """
    order = F.array_position(F.array(*map(F.lit, STAGES)), F.col("stage"))
    kept = frames["mix"].select("draft_id", F.lit(0).cast("long").alias("place"), F.lit("kept").alias("fate"))
    lost = rejects.where(F.col("stage").isin("refine", "clean", "mix")).select(
        F.col("key").alias("draft_id"), order.alias("place"), "fate"
    )
    known = kept.unionByName(lost)
    if gate_failed:
        last = F.lit(len(STAGES) + 1).cast("long").alias("place")
        known = known.unionByName(frames["clean"].select("draft_id", last, F.lit("gate").alias("fate")))
    return known.groupBy("draft_id").agg(F.min_by("fate", "place").alias("fate"))
