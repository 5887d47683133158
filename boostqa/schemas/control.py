"""Tables that steer and explain: probe and budget, rejects, contamination, verdicts, runs."""

from pyspark.sql import types as T

from boostqa.schemas.table import (
    BOOLEAN,
    COUNTS,
    DIFFICULTY,
    DISCIPLINE,
    DOUBLE,
    INT,
    LONG,
    SOURCE,
    STRING,
    STRINGS,
    Table,
    column,
)
from boostqa.vocabulary import MatchedField, MatchKind, Outcome, QuarantineEvent, Severity, Withdrawable

PROBE = Table(
    "probe",
    "score of one checkpoint on one cell by one method",
    ("checkpoint", "method", "discipline", "difficulty"),
    (
        column("checkpoint", STRING, "model id or folder of the checkpoint"),
        column("tokens_seen", LONG, "tokens the checkpoint had seen in training; null where not given", null=True),
        column(
            "method",
            STRING,
            "letter (likelihood of the option letter) | cloze (length-normalised option text) | reference (bits per byte "
            "of the reference answer; all accuracy columns are null)",
        ),
        DISCIPLINE,
        DIFFICULTY,
        column("items", LONG, "items scored"),
        column("correct", LONG, "items whose most likely option is the reference", null=True),
        column("accuracy", DOUBLE, "correct / items", null=True),
        column("wilson_low", DOUBLE, "lower end of the 95% Wilson interval", null=True),
        column("wilson_high", DOUBLE, "upper end of the 95% Wilson interval", null=True),
        column("chance", DOUBLE, "mean of 1 / number of options", null=True),
        column("shrunk", DOUBLE, "accuracy drawn towards that of the broad field (boostqa/shrinkage.py)", null=True),
        column("shrink_weight", DOUBLE, "part of `shrunk` that is the broad field's, 0..1", null=True),
        column(
            "slope", DOUBLE, "accuracy gained per ln(tokens seen), up to this checkpoint; null: no series", null=True
        ),
        column("slope_low", DOUBLE, "lower end of its 95% interval", null=True),
        column("slope_high", DOUBLE, "upper end of its 95% interval", null=True),
        column(
            "bits_per_byte",
            DOUBLE,
            "mean over items of the bits per UTF-8 byte of the answer",
            null=True,
            volatile=True,
        ),
        column("bits_per_byte_se", DOUBLE, "its standard error; null with one item", null=True, volatile=True),
        column("request_ids", STRINGS, "ledger rows the scores come from"),
    ),
    by_round=True,
)

BUDGET = Table(
    "budget",
    "token budget of one cell, every factor in its own column",
    ("discipline", "difficulty"),
    (
        DISCIPLINE,
        column("difficulty", STRING, "target difficulty H1..H5 of the cell"),
        column("seeds", LONG, "annotated seeds of the discipline (supply)"),
        column("bearing_seeds", LONG, "seeds of these that bear a question at this level"),
        column("questions", LONG, "questions that they bear here: each of a seed belongs to one cell"),
        column("probe_items", LONG, "probe items of the cell"),
        column("accuracy", DOUBLE, "accuracy in the cell, shrunk (boostqa/shrinkage.py), mean of methods", null=True),
        column("shrink_weight", DOUBLE, "0..1: the part of `accuracy` that comes from other cells; 1 without an item"),
        column(
            "shrunk_to", STRING, "broad_field | all: where that part comes from; null: nothing was probed", null=True
        ),
        column("chance", DOUBLE, "chance level of the items", null=True),
        column("deficit", DOUBLE, "1 - (accuracy - chance) / (1 - chance), clipped to 0..1; 1: nothing was probed"),
        column("slope", DOUBLE, "accuracy gained per ln(tokens seen), mean of methods; null: no series", null=True),
        column("trend", STRING, "rising | flat (0 lies in the slope's interval) | falling; null: no series", null=True),
        column("learnability", DOUBLE, "what training on it promises, by `trend` and `slope`; 1 without a series"),
        column("stem_factor", DOUBLE, "stem_boost for STEM disciplines, else 1"),
        column("supply_factor", DOUBLE, "square root of the share of seeds in the discipline"),
        column("weight", DOUBLE, "deficit x learnability x stem_factor x supply_factor, as a share of its side"),
        column(
            "novelty",
            DOUBLE,
            "share of the cell's items that were new when it was last asked (table novelty); null: not asked yet",
            null=True,
        ),
        column(
            "round_tokens", LONG, "kept tokens wanted of the round: its part of what is left of plan.tokens", null=True
        ),
        column("side_tokens", LONG, "kept tokens wanted of all cells on its side of high difficulty (H4, H5)"),
        column("floor", LONG, "least kept tokens"),
        column(
            "kept_per_request",
            DOUBLE,
            "tokens that a request leaves in the mix, by strategy, format, grade and language of the cell's (boostqa/yields.py); "
            "plan.kept_tokens_per_request before a round was made; null: of an earlier release",
            null=True,
        ),
        column("capacity", LONG, "most kept tokens: questions x kept_per_request"),
        column("tokens", LONG, "kept tokens wanted; they sum to side_tokens"),
        column(
            "bound",
            STRING,
            "floor | capacity | novelty (nothing more until its discipline has new seeds): what holds `tokens`; null: they "
            "follow `weight`",
            null=True,
        ),
        column("requests", LONG, "requests planned = tokens / kept_per_request; their sum is rounded up"),
    ),
    by_round=True,
)

NOVELTY = Table(
    "novelty",
    "what was new in what the requests of one cell brought",
    ("discipline", "difficulty"),
    (
        DISCIPLINE,
        column("difficulty", STRING, "target difficulty H1..H5 of the cell"),
        column("drafts", LONG, "drafts of its requests"),
        column("items", LONG, "of these refined, which is where copies are looked for"),
        column("duplicates", LONG, "items that repeat another one, a seed or an item of an earlier round"),
        column("rejected", LONG, "drafts that are not in clean, for whatever reason"),
        column("kept", LONG, "drafts that are"),
        column("novelty", DOUBLE, "1 - duplicates / items; null without items", null=True),
        column("novelty_high", DOUBLE, "upper end of its 95% Wilson interval", null=True),
        column("distinct_ngrams", DOUBLE, "share of the kept questions' runs of words that are distinct", null=True),
        column("new_ngrams", DOUBLE, "share of these that no item of the cell in an earlier round has", null=True),
        column("clusters", LONG, "clusters of the kept questions: distinct SimHash codes of 8 bits"),
    ),
    by_round=True,
)

POWER = Table(
    "power",
    "what one check made of the controls of one kind",
    ("check", "defect"),
    (
        column("check", STRING, "line (all stages together) | voter | judge | name of a rule"),
        column("defect", STRING, "defect of the controls, none: positive ones; of judge: equal | different"),
        column("items", LONG, "controls that the check saw; of judge: pairs"),
        column("passed", LONG, "of these it let through; of voter: answered right; of judge: called equal"),
        column("share", DOUBLE, "passed / items"),
        column("wilson_low", DOUBLE, "lower end of the 95% Wilson interval"),
        column("wilson_high", DOUBLE, "upper end of the 95% Wilson interval"),
        column("chance", DOUBLE, "share that guessing gives (voter); else null", null=True),
        column("model", STRING, "model that voted or judged; else null", null=True),
        column("tokens", LONG, "generated tokens the controls cost (line); else 0"),
    ),
    by_round=True,
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
    by_round=True,
)

CONTAMINATION = Table(
    "contamination",
    "one match between an item and a benchmark item",
    ("draft_id", "field", "benchmark", "benchmark_item", "kind"),
    (
        column("draft_id", STRING, "item that matches"),
        column("field", STRING, " | ".join(MatchedField)),
        column("benchmark", STRING, "benchmark name in the conf"),
        column("benchmark_item", STRING, "id inside the benchmark"),
        column("kind", STRING, " | ".join(MatchKind)),
        column(
            "score", DOUBLE, "share of the word pairs of both questions that both have, 0..1 (similar); 1 (verbatim)"
        ),
        column("match", STRING, "matching text after normalisation; the words that both have (similar)"),
        column("item_text", STRING, "the field of the item, at most 500 characters, from about where the match stands"),
        column("benchmark_text", STRING, "question and options of the benchmark item, at most 500 characters"),
        SOURCE,
        column("generator", STRING, "model that wrote the item"),
    ),
    by_round=True,
)

VERDICT = Table(
    "verdict",
    "one expectation or table-level gate",
    ("table", "gate"),
    (
        column("table", STRING, "table the gate looked at"),
        column("gate", STRING, "name of the expectation with its column, or of the table-level gate"),
        column("success", BOOLEAN, "whether the gate holds"),
        column("severity", STRING, " | ".join(Severity)),
        column("outcome", STRING, " | ".join(Outcome)),
        column("observed", STRING, "what was seen, as a sentence", null=True),
        column("expected", STRING, "what was asked for", null=True),
        column("version", LONG, "Delta version the verdict holds for", volatile=True),
        column("run_id", STRING, "run that judged", volatile=True),
    ),
    by_round=True,
)

QUARANTINE = Table(
    "quarantine",
    "one event in the stay of an item under a gate; the last one counts",
    ("draft_id", "gate", "number"),
    (
        column("draft_id", STRING, "item of clean"),
        column("gate", STRING, "gate that the item made fail"),
        column("number", INT, "1-based number of the event of this item under this gate"),
        column("item_hash", LONG, "xxhash64 of the item's row in clean: the content that the event is about"),
        column("event", STRING, " | ".join(QuarantineEvent)),
        column("evidence", STRING, "what the gate saw in the item"),
        column("who", STRING, "user who decided; gate where no person did"),
        column("why", STRING, "reason a person gave; null where none did", null=True),
        column("at", T.TimestampType(), "UTC time of the event", volatile=True),
        column("clean_version", LONG, "Delta version of clean that the gate judged", volatile=True),
        column("run_id", STRING, "run that judged; null where a person decided", null=True, volatile=True),
    ),
)

WITHDRAWAL = Table(
    "withdrawal",
    "one thing that may not be used any more",
    ("kind", "value"),
    (
        column("kind", STRING, " | ".join(Withdrawable)),
        column("value", STRING, "seed_id, name of a source, or a licence as SPDX writes it"),
        column("who", STRING, "user who withdrew it"),
        column("why", STRING, "the reason"),
        column("at", T.TimestampType(), "UTC time", volatile=True),
    ),
)

RUN = Table(
    "run",
    "one execution of one stage",
    ("run_id", "stage"),
    (
        column("run_id", STRING, "run of the pipeline"),
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
        column("generation_seconds", DOUBLE, "seconds in which requests were in flight"),
        column(
            "idle_tail_share", DOUBLE, "share of the engines' time without enough left to do; null: none", null=True
        ),
        column("inputs", COUNTS, "table -> Delta version read"),
        column("outputs", COUNTS, "table -> Delta version written"),
        column("hashes", T.MapType(STRING, STRING), "table -> content hash of the rows written"),
        column(
            "basis",
            T.MapType(STRING, STRING),
            "what decided its rows -> digest; null: of an earlier release",
            null=True,
        ),
        column("code_revision", STRING, "git revision, or the package version"),
        column("conf_hash", STRING, "sha256 of the identity part of the conf"),
        column("mlflow_run_id", STRING, "MLflow child run", null=True),
    ),
    by_round=True,
)
