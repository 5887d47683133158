"""Tables of items, in the order in which the pipeline makes them: seed, annotation, plan, draft, refined, clean,
mix."""

from boostqa.schemas.table import (
    ATTRIBUTION,
    BOOLEAN,
    CHOICES,
    DIFFICULTY,
    DISCIPLINE,
    DOUBLE,
    FORMAT,
    GRADE,
    INT,
    LANG,
    LICENCE,
    LONG,
    LONGS,
    MEASURES,
    QUESTION,
    ROUND,
    SEED_ID,
    SOURCE,
    SPANS,
    STRATEGY,
    STRING,
    STRINGS,
    Table,
    column,
)
from boostqa.vocabulary import FORMATS, STRATEGIES, AnswerStatus, Defect, ItemTable, Kind, Rewrite

HELD_OUT = Table(
    "held_out",
    "one item of a benchmark or of the probe, which no seed and no item may hold, and the keys by which it is found",
    ("benchmark", "item_id"),
    (
        column("benchmark", STRING, "name of the source, of clean.benchmarks or probe.items"),
        column("item_id", STRING, "id of the item inside the source"),
        LANG,
        QUESTION,
        CHOICES,
        column("answer", STRING, "reference answer or option letter; null when unknown", null=True),
        column("keys", STRINGS, "folded windows, wholes and sets of options that tell a verbatim copy", null=True),
        column(
            "units",
            STRINGS,
            "units of the question that tell what is asked; null where another item stands for it",
            null=True,
        ),
        column("unit_keys", LONGS, "hashes of runs of units, by which close questions are met", null=True),
    ),
)

SEED = Table(
    "seed",
    "one document chunk or one QA item that passed every seed rule",
    ("seed_id",),
    (
        SEED_ID,
        SOURCE,
        column("doc_id", STRING, "id of the document or item inside the source"),
        column("chunk", INT, "0-based position of the chunk inside its document; 0 for QA items"),
        column("kind", STRING, " | ".join(Kind)),
        LANG,
        LICENCE,
        ATTRIBUTION,
        column("title", STRING, "title of the document", null=True),
        column("subject", STRING, "subject or discipline that the source names, as it writes it", null=True),
        column("text", STRING, "normalised passage; for QA the question with its options and answer"),
        column("question", STRING, "normalised question; null for documents", null=True),
        CHOICES,
        column("answer", STRING, "reference answer or option letter; null when unknown or a document", null=True),
        column("tokens", INT, "tokens of `text` under the target tokenizer"),
        column("file", STRING, "path of the input file"),
        column("line", LONG, "1-based line or row in the input file"),
    ),
)

ANNOTATION = Table(
    "annotation",
    "one item labelled by the annotator",
    ("item_table", "item_id"),
    (
        column("item_id", STRING, "seed_id, draft_id or probe item id"),
        column("item_table", STRING, " | ".join(ItemTable)),
        DISCIPLINE,
        column("discipline_probability", DOUBLE, "probability of the label among all allowed ones", volatile=True),
        DIFFICULTY,
        column("difficulty_probability", DOUBLE, "probability of the label among all allowed ones", volatile=True),
        column(
            "difficulty_expected",
            DOUBLE,
            "expected level, 1..5, of the annotator's distribution; the label is the level next to it; null when given",
            null=True,
            volatile=True,
        ),
        column(
            "annotator",
            STRING,
            "model that labelled; 'distilled + MODEL' where the distilled one named the discipline, 'given + MODEL' where the "
            "source, 'plan + MODEL' where the draft's request does; 'given' where the item carries both labels",
        ),
        column("request_ids", STRINGS, "ledger rows the labels come from; empty when given"),
    ),
    by_round=True,
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
    by_round=True,
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

STATUS = column("status", STRING, " | ".join(AnswerStatus))

DRAFT = Table("draft", "one parsed and measured question with its draft answer", ("draft_id",), ITEM, by_round=True)

MEASURED = Table(
    "measured",
    "one draft whose difficulty was measured, kept or not",
    ("draft_id",),
    (
        column("draft_id", STRING, "sha256 over plan_id and request_id"),
        column("plan_id", STRING, "synthesis request the draft answers"),
        LANG,
        DISCIPLINE,
        STRATEGY,
        FORMAT,
        column("generator", STRING, "model that wrote the draft"),
        GRADE,
        DIFFICULTY,
        column(
            "attempt", INT, "0: the first draft; n: the n-th that followed because the one before was below its aim"
        ),
        column("kept", BOOLEAN, "whether it is the draft of its request"),
        column("tokens", LONG, "tokens generated for it, thinking included"),
    ),
    by_round=True,
)

CONTROL = Table(
    "control",
    "a known item after a stage that it went through like a draft; it is never exported",
    ("draft_id", "stage"),
    (
        *ITEM,
        column("stage", STRING, "stage that it has been through: synthesize | refine | clean"),
        column("defect", STRING, " | ".join(Defect)),
        column("origin", STRING, "source section and id of the public item it was made from"),
        column("known_answer", STRING, "right answer of the public item"),
        column("rule", STRING, "rule of this stage that stopped it; null where it went through", null=True),
        column("evidence", STRING, "what the rule saw", null=True),
        column("request_ids", STRINGS, "ledger rows it has cost so far"),
    ),
    by_round=True,
)

REFINED = Table(
    "refined",
    "one draft whose answer a second model confirmed or corrected",
    ("draft_id",),
    (
        *ITEM,
        column("draft_answer", STRING, "answer of the draft, before any correction"),
        STATUS,
        column("blind_answers", STRINGS, "final answers of the blind attempts, by sample index"),
        column("votes", INT, "blind attempts that gave the final answer"),
        column("rewrite", STRING, " | ".join(Rewrite)),
        column("refiner", STRING, "model that answered blind and rewrote"),
        column("request_ids", STRINGS, "ledger rows of the blind attempts and the rewrite"),
    ),
    by_round=True,
)

CLEAN = Table(
    "clean",
    "one item fit for the mix, with its provenance",
    ("draft_id",),
    (
        *ITEM,
        STATUS,
        column("refiner", STRING, "model that answered blind and rewrote"),
        SOURCE,
        LICENCE,
        ATTRIBUTION,
        column("tokens", INT, "tokens of its text in the mix; null: of an earlier release", null=True),
    ),
    by_round=True,
)

_YES = "probability that the judge says yes; null: no judgement"
RUBRIC = Table(
    "rubric",
    "one item as a judge sees it by the rubric",
    ("draft_id",),
    (
        column("draft_id", STRING, "item"),
        column("judge", STRING, "model that judged"),
        column("correct", DOUBLE, f"answer and steps are right: {_YES}", null=True, volatile=True),
        column("self_contained", DOUBLE, f"nothing that is needed is missing: {_YES}", null=True, volatile=True),
        column("clear", DOUBLE, f"complete, well written, one right answer: {_YES}", null=True, volatile=True),
        column("at_level", DOUBLE, f"as difficult as its grade wants: {_YES}", null=True, volatile=True),
        column(
            "limits",
            MEASURES,
            "criterion -> least score, of those that tell good controls from spoilt ones",
            volatile=True,
        ),
        column("request_ids", STRINGS, "ledger rows of the judgements"),
    ),
    by_round=True,
)

STUDENT = Table(
    "student",
    "one item of clean as a student model answered it",
    ("draft_id",),
    (
        column("draft_id", STRING, "item"),
        DISCIPLINE,
        STRATEGY,
        GRADE,
        DIFFICULTY,
        column("student", STRING, "model that answered blind"),
        column("attempts", INT, "its attempts"),
        column("passed", INT, "of these that gave the item's answer; one that the matcher cannot tell did not"),
        column("request_ids", STRINGS, "ledger rows of the attempts"),
    ),
    by_round=True,
)

CORPUS = Table(
    "corpus",
    "one record of another corpus that the mix may hold, or the rule that leaves it out",
    ("source", "file", "line"),
    (
        SOURCE,
        column("file", STRING, "path of the input file"),
        column("line", LONG, "1-based line or row in the input file"),
        column("document_id", STRING, "sha256 over source and text"),
        column("text", STRING, "the text, control tokens escaped; null where it could not be read", null=True),
        column("tokens", INT, "tokens of `text` under the target tokenizer", null=True),
        column("lang", STRING, "language code, declared or identified", null=True),
        column("licence", STRING, "SPDX licence used, of the conf's list", null=True),
        ATTRIBUTION,
        column("rule", STRING, "why it is left out; null where it is not", null=True),
        column("evidence", STRING, "what the rule saw", null=True),
        column("state", STRING, "digest of the source's files, its conf, tokenizer, benchmarks and rules"),
    ),
)

MIX = Table(
    "mix",
    "one exported document, as often as it comes",
    ("document_id", "pass"),
    (
        column("document_id", STRING, "draft_id of an item, seed_id of a seed; of several items sha256 over their ids"),
        column("pass", INT, "how often the document has come, from 1"),
        column("component", STRING, "part of the mix, of the conf, that the document fills"),
        column(
            "draft_ids", STRINGS, "items in it that were made here, in their order; other columns tell of the first"
        ),
        column("seed_id", STRING, "seed that it was made from, or is", null=True),
        ROUND,
        column("text", STRING, "plain-text rendering, no chat tokens"),
        column("tokens", INT, "tokens of `text` under the target tokenizer"),
        column(
            "layout", STRING, "how `text` is laid out, drawn by the hash of the item's id; of several items joined by +"
        ),
        column(
            "spans",
            SPANS,
            "where question (with options), reasoning and answer of each item stand in `text`: code points and tokens, [start, end)",
        ),
        LANG,
        column("discipline", STRING, "ISCED-F 2013 detailed field, four digits; null of another corpus", null=True),
        column("difficulty", STRING, "measured difficulty H1..H5; null of another corpus", null=True),
        column("strategy", STRING, " | ".join(STRATEGIES) + "; null of what was not synthesized", null=True),
        column("format", STRING, " | ".join(FORMATS) + "; null of another corpus", null=True),
        SOURCE,
        LICENCE,
        ATTRIBUTION,
        column("shard", INT, "0-based shard the document is exported to"),
    ),
    made_anew=True,
)
