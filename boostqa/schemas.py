"""Every table contract of the line, in flow order: grain, key, and the meaning of each column.

A contract is checked on every write and on every read (tables.py). Columns marked `volatile` (clock, run, placement, and
likelihoods, whose last digits depend on what else was in the engine's batch) do not count in a table's content hash. Aim (`grade`) and measurement (`difficulty`) never share a column.
"""

from dataclasses import dataclass, field

from pyspark.sql import types as T

STRING, INT, LONG, DOUBLE, BOOLEAN = T.StringType(), T.IntegerType(), T.LongType(), T.DoubleType(), T.BooleanType()
STRINGS = T.ArrayType(STRING, containsNull=False)
COUNTS = T.MapType(STRING, LONG, valueContainsNull=False)


def column(name: str, kind: T.DataType, meaning: str, null: bool = False, volatile: bool = False) -> T.StructField:
    """One column of a contract; `meaning` becomes the Delta column comment."""
    return T.StructField(name, kind, null, {"comment": meaning, "volatile": volatile})


@dataclass(frozen=True)
class Table:
    """A table's contract: `key` is unique, every column not marked `null` is never null."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[T.StructField, ...] = field(repr=False)

    @property
    def schema(self) -> T.StructType:
        """The columns as Spark's schema."""
        return T.StructType(list(self.columns))

    @property
    def stable_columns(self) -> list[str]:
        """Columns that count in the content hash."""
        return [c.name for c in self.columns if not c.metadata["volatile"]]


LANG = column("lang", STRING, "ISO 639-1 language code")
LICENCE = column("licence", STRING, "licence identifier, as on the allow-list of the conf")
ATTRIBUTION = column("attribution", STRING, "attribution text the licence asks for", null=True)
SOURCE = column("source", STRING, "name of the source section in the conf")
QUESTION = column("question", STRING, "question text, self-contained")
CHOICES = column(
    "choices", STRINGS, "options of a multiple-choice item, in order A, B, ...; null for open items", null=True
)
DISCIPLINE = column("discipline", STRING, "ISCED-F 2013 detailed field, four digits")
DIFFICULTY = column("difficulty", STRING, "measured difficulty H1..H5, given by the annotator")
GRADE = column("grade", STRING, "education stage H1..H5 that the request aims at")
STRATEGY = column("strategy", STRING, "multi_grade | high_difficulty")
FORMAT = column("format", STRING, "multiple_choice | short_answer | calculation | proof | explanation | programming")
SEED_ID = column("seed_id", STRING, "sha256 over source, document id and chunk text")

SEED = Table(
    "seed",
    "one document chunk or one QA item that passed every seed rule",
    ("seed_id",),
    (
        SEED_ID,
        SOURCE,
        column("doc_id", STRING, "id of the document or item inside the source"),
        column("chunk", INT, "0-based position of the chunk inside its document; 0 for QA items"),
        column("kind", STRING, "document | qa"),
        LANG,
        LICENCE,
        ATTRIBUTION,
        column("title", STRING, "title of the document", null=True),
        column("text", STRING, "normalised passage; for QA the question with its options and answer"),
        column("question", STRING, "normalised question; null for documents", null=True),
        CHOICES,
        column("answer", STRING, "reference answer or option letter; null when unknown or a document", null=True),
        column("tokens", INT, "tokens of `text` under the target tokenizer"),
        column("file", STRING, "path of the input file"),
        column("line", LONG, "1-based line or row in the input file"),
    ),
)

REJECT = Table(
    "reject",
    "one row that a stage dropped, with the reason",
    ("stage", "key", "rule"),
    (
        column("stage", STRING, "stage that dropped the row"),
        column("key", STRING, "id of the row, or source:file:line for input that has none"),
        column("rule", STRING, "name of the rule"),
        column("evidence", STRING, "what the rule saw: the value, the twin's id, the matching text"),
        column(
            "request_ids", STRINGS, "ledger rows the dropped row had cost; null where no model was asked", null=True
        ),
        column("run_id", STRING, "run that dropped the row", volatile=True),
    ),
)

COMPLETION = Table(
    "completion",
    "the ledger: one completion per request, written once, shared by all stages and runs",
    ("request_id",),
    (
        column(
            "request_id", STRING, "sha256 of model, revision, engine settings, sampling, template, prompt, sample index"
        ),
        column("stage", STRING, "stage that asked first"),
        column("model", STRING, "model id or folder"),
        column("revision", STRING, "model revision; null when the conf pins none", null=True),
        column("engine", STRING, "engine settings that change output, canonical JSON"),
        column("sampling", STRING, "sampling parameters, canonical JSON"),
        column("structured", STRING, "structured-output constraint, JSON; null for free text", null=True),
        column("template", STRING, "sha256 of the prompt template"),
        column("prompt", STRING, "rendered prompt"),
        column(
            "continuation", STRING, "text whose likelihood was scored after the prompt; null when generating", null=True
        ),
        column("sample_index", INT, "0-based sample of the same prompt"),
        column("text", STRING, "generated text without thinking; empty when scoring"),
        column("finish_reason", STRING, "stop | length | scored | refused (never sent: error says why) | failed"),
        column("error", STRING, "why there is no usable text", null=True),
        column("logprob", DOUBLE, "sum of log-probabilities (nats) of the generated or scored tokens", True, True),
        column(
            "choice_logprobs",
            T.MapType(STRING, DOUBLE),
            "log-probability (nats) of each listed first token",
            True,
            True,
        ),
        column("prompt_tokens", LONG, "tokens of the prompt"),
        column("generated_tokens", LONG, "tokens generated, thinking included; 0 when scoring"),
        column("thinking_tokens", LONG, "tokens inside the thinking section"),
        column("cached_tokens", LONG, "prompt tokens served from the prefix cache", volatile=True),
        column("engine_seconds", DOUBLE, "seconds between submission to the engine and the end", volatile=True),
        column("attempts", INT, "times the request was sent to an engine", volatile=True),
        column("run_id", STRING, "run that paid for it", volatile=True),
        column("finished_at", T.TimestampType(), "UTC time at which the completion ended", volatile=True),
    ),
)

CONFLICT = Table(
    "conflict",
    "a completion of a request that the ledger holds already with another content; it is never used",
    ("request_id", "run_id", "finished_at"),
    COMPLETION.columns,
)

ENGINE = Table(
    "engine",
    "what one task on one engine did for one call of a model by a stage",
    ("run_id", "stage", "call", "partition"),
    (
        column("run_id", STRING, "run", volatile=True),
        column("stage", STRING, "stage that asked"),
        column("call", INT, "0-based call of a model within the stage"),
        column("partition", INT, "0-based partition of the call's requests"),
        column("model", STRING, "model id or folder"),
        column("executor", STRING, "host name of the executor", volatile=True),
        column("gpus", STRING, "GPU addresses of the engine, comma-separated; empty on CPUs", volatile=True),
        column("completed", LONG, "requests that got a completion", volatile=True),
        column("failed", LONG, "requests refused, or given up after the last attempt", volatile=True),
        column("prompt_tokens", LONG, "tokens of the prompts", volatile=True),
        column("cached_tokens", LONG, "of these served from the prefix cache", volatile=True),
        column("generated_tokens", LONG, "tokens generated, thinking included", volatile=True),
        column("thinking_tokens", LONG, "of these inside thinking sections", volatile=True),
        column("retry_tokens", LONG, "tokens of unfinished requests that dead engines took along", volatile=True),
        column("engine_starts", LONG, "engines started", volatile=True),
        column("seconds", DOUBLE, "seconds from the first request to the last completion", volatile=True),
        column("idle_seconds", DOUBLE, "of these lost at the end, when too little was left to do", volatile=True),
        column("tokens_per_second", DOUBLE, "generated_tokens / seconds", volatile=True),
    ),
)

ANNOTATION = Table(
    "annotation",
    "one item labelled by the annotator",
    ("item_table", "item_id"),
    (
        column("item_id", STRING, "seed_id, draft_id or probe item id"),
        column("item_table", STRING, "seed | draft | probe_item"),
        DISCIPLINE,
        column("discipline_probability", DOUBLE, "probability of the label among all allowed ones", volatile=True),
        DIFFICULTY,
        column("difficulty_probability", DOUBLE, "probability of the label among all allowed ones", volatile=True),
        column("annotator", STRING, "model that labelled, or 'given' where the item carries a label"),
        column("request_ids", STRINGS, "ledger rows the labels come from; empty when given"),
    ),
)

PROBE = Table(
    "probe",
    "score of one checkpoint on one cell by one method",
    ("checkpoint", "method", "discipline", "difficulty"),
    (
        column("checkpoint", STRING, "model id or folder of the checkpoint"),
        column("method", STRING, "letter (likelihood of the option letter) | cloze (length-normalised option text)"),
        DISCIPLINE,
        DIFFICULTY,
        column("items", LONG, "items scored"),
        column("correct", LONG, "items whose most likely option is the reference"),
        column("accuracy", DOUBLE, "correct / items"),
        column("wilson_low", DOUBLE, "lower end of the 95% Wilson interval"),
        column("wilson_high", DOUBLE, "upper end of the 95% Wilson interval"),
        column("chance", DOUBLE, "mean of 1 / number of options"),
    ),
)

BUDGET = Table(
    "budget",
    "token budget of one cell, every factor in its own column",
    ("discipline", "difficulty"),
    (
        DISCIPLINE,
        column("difficulty", STRING, "target difficulty H1..H5 of the cell"),
        column("seeds", LONG, "annotated seeds of the discipline (supply)"),
        column("accuracy", DOUBLE, "probe accuracy used", null=True),
        column(
            "accuracy_from", STRING, "cell | broad_field | all: the narrowest level with enough probe items", null=True
        ),
        column("chance", DOUBLE, "chance level of the items used", null=True),
        column("deficit", DOUBLE, "1 - (accuracy - chance) / (1 - chance), clipped to 0..1"),
        column("stem_factor", DOUBLE, "stem_boost for STEM disciplines, else 1"),
        column("supply_factor", DOUBLE, "square root of the share of seeds in the discipline"),
        column("difficulty_share", DOUBLE, "share of all tokens for this cell's side of high difficulty (H4, H5)"),
        column("weight", DOUBLE, "deficit x stem_factor x supply_factor, normalised inside the side"),
        column("tokens", LONG, "kept tokens wanted, after floor and capacity"),
        column("requests", LONG, "requests planned = tokens / kept tokens per request, within the cap per seed"),
    ),
)

PLAN = Table(
    "plan",
    "one synthesis request",
    ("plan_id",),
    (
        column("plan_id", STRING, "sha256 over seed, strategy, grade, format, lever and sample index"),
        SEED_ID,
        LANG,
        DISCIPLINE,
        GRADE,
        STRATEGY,
        FORMAT,
        column("lever", STRING, "what makes the question hard (high_difficulty); null for multi_grade", null=True),
        column("sample_index", INT, "0-based sample of the same request"),
    ),
)

ITEM = (
    column("draft_id", STRING, "sha256 over plan_id and request_id"),
    column("plan_id", STRING, "synthesis request the item answers"),
    SEED_ID,
    LANG,
    DISCIPLINE,
    GRADE,
    STRATEGY,
    FORMAT,
    column("lever", STRING, "lever of the request; null for multi_grade", null=True),
    DIFFICULTY,
    QUESTION,
    CHOICES,
    column("answer", STRING, "final answer, or the option letter"),
    column("solution", STRING, "worked solution"),
    column("generator", STRING, "model that wrote the draft"),
    column("request_id", STRING, "ledger row of the draft"),
)

DRAFT = Table("draft", "one parsed and measured question with its draft answer", ("draft_id",), ITEM)

REFINED = Table(
    "refined",
    "one draft whose answer a second model confirmed or corrected",
    ("draft_id",),
    (
        *ITEM,
        column("draft_answer", STRING, "answer of the draft, before any correction"),
        column("status", STRING, "agreed | corrected"),
        column("blind_answers", STRINGS, "final answers of the blind attempts, by sample index"),
        column("votes", INT, "blind attempts that gave the final answer"),
        column("rewrite", STRING, "rewritten | kept: the rewrite changed the answer | kept: no rewrite"),
        column("refiner", STRING, "model that answered blind and rewrote"),
        column("request_ids", STRINGS, "ledger rows of the blind attempts and the rewrite"),
    ),
)

CLEAN = Table(
    "clean",
    "one item fit for the mix, with its provenance",
    ("draft_id",),
    (
        *ITEM,
        column("status", STRING, "agreed | corrected"),
        SOURCE,
        LICENCE,
        ATTRIBUTION,
    ),
)

CONTAMINATION = Table(
    "contamination",
    "one match between an item and a benchmark item",
    ("draft_id", "field", "benchmark", "benchmark_item"),
    (
        column("draft_id", STRING, "item that matches"),
        column("field", STRING, "question | choices | answer | passage"),
        column("benchmark", STRING, "benchmark name in the conf"),
        column("benchmark_item", STRING, "id inside the benchmark"),
        column("match", STRING, "matching text after normalisation"),
        SOURCE,
        column("generator", STRING, "model that wrote the item"),
    ),
)

VERDICT = Table(
    "verdict",
    "one expectation or table-level gate",
    ("table", "gate"),
    (
        column("table", STRING, "table the gate looked at"),
        column("gate", STRING, "name of the expectation with its column, or of the table-level gate"),
        column("success", BOOLEAN, "whether the gate holds"),
        column("observed", STRING, "what was seen", null=True),
        column("expected", STRING, "what was asked for", null=True),
        column("version", LONG, "Delta version the verdict holds for", volatile=True),
        column("run_id", STRING, "run that judged", volatile=True),
    ),
)

MIX = Table(
    "mix",
    "one exported item",
    ("draft_id",),
    (
        column("draft_id", STRING, "item"),
        column("text", STRING, "plain-text rendering, no chat tokens"),
        column("tokens", INT, "tokens of `text` under the target tokenizer"),
        LANG,
        DISCIPLINE,
        DIFFICULTY,
        STRATEGY,
        FORMAT,
        SOURCE,
        LICENCE,
        ATTRIBUTION,
        column("shard", INT, "0-based shard the item is exported to"),
    ),
)

BILL = Table(
    "bill",
    "one cause, one stage that asked: where the generated tokens went that the current tables account for",
    ("stage", "cause"),
    (
        column("stage", STRING, "stage that asked first"),
        column(
            "cause",
            STRING,
            "kept | thinking | truncation | label | vote | rewrite_unused | parse_failure | degradation | unlabelled | "
            "dispute | duplicate | contamination | rule | over_budget | gate | unfinished | retry, or a rule's own name",
        ),
        column(
            "completions", LONG, "completions; one with thinking counts there and again where its other tokens went"
        ),
        column("tokens", LONG, "generated tokens"),
        column("share", DOUBLE, "share of all tokens of the bill, 0..1"),
    ),
)

RUN = Table(
    "run",
    "one execution of one stage",
    ("run_id", "stage"),
    (
        column("run_id", STRING, "run of the line"),
        column("stage", STRING, "stage"),
        column("finished_at", T.TimestampType(), "UTC time of the end"),
        column("seconds", DOUBLE, "wall seconds"),
        column("rows_in", LONG, "rows read"),
        column("fan_out", LONG, "rows added by splitting or removed by design, signed"),
        column("kept", LONG, "rows written"),
        column("rejected", LONG, "rows rejected; rows_in + fan_out = kept + rejected"),
        column("rejected_by_rule", COUNTS, "rejected rows by rule"),
        column("requests", LONG, "model requests of the stage"),
        column("reused", LONG, "requests answered from the ledger"),
        column("failed", LONG, "requests refused, or given up after the last attempt"),
        column("prompt_tokens", LONG, "prompt tokens paid for by this execution"),
        column("cached_tokens", LONG, "of these served from the prefix cache"),
        column("generated_tokens", LONG, "tokens generated by this execution"),
        column("thinking_tokens", LONG, "of these inside thinking sections"),
        column("retry_tokens", LONG, "tokens that dead engines took along, and those of requests answered twice"),
        column("engine_starts", LONG, "engines started by this execution"),
        column("conflicts", LONG, "requests answered twice with different content: table conflict"),
        column("engine_seconds", DOUBLE, "seconds in which requests were in flight"),
        column(
            "idle_tail_share", DOUBLE, "share of the engines' time without enough left to do; null: none", null=True
        ),
        column("inputs", COUNTS, "table -> Delta version read"),
        column("outputs", COUNTS, "table -> Delta version written"),
        column("hashes", T.MapType(STRING, STRING), "table -> content hash of the version written"),
        column("code_revision", STRING, "git revision, or the package version"),
        column("conf_hash", STRING, "sha256 of the identity part of the conf"),
        column("mlflow_run_id", STRING, "MLflow child run", null=True),
    ),
)

STAGES = ("seed", "annotate", "probe", "plan", "synthesize", "refine", "clean", "gate", "mix")
TABLES = {
    t.name: t
    for t in (
        *(SEED, ANNOTATION, PROBE, BUDGET, PLAN, COMPLETION, CONFLICT, ENGINE, DRAFT),
        *(REFINED, CLEAN, CONTAMINATION, VERDICT, MIX, BILL, REJECT, RUN),
    )
}
GRADES = ("H1", "H2", "H3", "H4", "H5")
HIGH = ("H4", "H5")
STEM_BROAD_FIELDS = ("05", "06", "07")
FORMATS = ("multiple_choice", "short_answer", "calculation", "proof", "explanation", "programming")
