"""Every closed set of words that tables, conf and code share, with the meaning of each word."""

from enum import StrEnum

from udfs.engines.messages import CUT_OFF, UNUSABLE, WRITTEN, FinishReason  # noqa: F401  the driver's code finds them here

STAGES = ("seed", "annotate", "probe", "plan", "synthesize", "refine", "clean", "gate", "mix")
ROUND_STAGES = STAGES[2:-1]  # they run once in each round of the conf; the others serve all rounds
BUYING_STAGES = STAGES[2:6]  # of a round that another has followed they are history: what was asked stays asked
NO_ROUND = ""  # of rows of the other stages
ONLY_ROUND = "main"  # where the conf declares none

# Education stages: primary, lower secondary, upper secondary, undergraduate, graduate or competition. `grade` is what a
# request aims at, `difficulty` what the annotator measured.
GRADES = ("H1", "H2", "H3", "H4", "H5")
HIGH_GRADES = ("H4", "H5")
STEM_BROAD_FIELDS = ("05", "06", "07")  # of ISCED-F 2013: the first two digits of a discipline

OPTION_LETTERS = "ABCDEFGHIJ"  # of the options of a multiple-choice item, in order
DRAFT_LETTERS = OPTION_LETTERS[:4]  # of the options of a synthesized multiple-choice question


class Kind(StrEnum):
    """What a source holds."""

    DOCUMENT = "document"
    QA = "qa"


class Strategy(StrEnum):
    """How a question is asked for."""

    MULTI_GRADE = "multi_grade"
    HIGH_DIFFICULTY = "high_difficulty"


class Format(StrEnum):
    """What a question looks like."""

    MULTIPLE_CHOICE = "multiple_choice"
    SHORT_ANSWER = "short_answer"
    CALCULATION = "calculation"
    PROOF = "proof"
    EXPLANATION = "explanation"
    PROGRAMMING = "programming"


class ProbeMethod(StrEnum):
    """How a checkpoint is scored on an item."""

    LETTER = "letter"  # likelihood of the option letter
    CLOZE = "cloze"  # length-normalised likelihood of the option text
    REFERENCE = "reference"  # bits per byte of the reference answer, of open items too


class ItemTable(StrEnum):
    """What an annotated item is."""

    SEED = "seed"
    DRAFT = "draft"
    PROBE_ITEM = "probe_item"


class AnnotatedBy(StrEnum):
    """Who names the discipline of a source's seeds."""

    LLM = "llm"
    DISTILLED = "distilled"  # a small model trained on labelled items or on the annotator's labels


class AnswerStatus(StrEnum):
    """What the blind attempts did to a draft's answer."""

    AGREED = "agreed"
    CORRECTED = "corrected"


class Rewrite(StrEnum):
    """What became of the rewritten solution."""

    USED = "rewritten"
    CHANGED_ANSWER = "kept: the rewrite changed the answer"
    NO_STEPS = "kept: the rewrite shows no steps"
    BROKEN = "kept: broken text in the rewrite"
    NONE = "kept: no rewrite"


class MatchedField(StrEnum):
    """The part of an item in which a benchmark's text was found."""

    QUESTION = "question"
    CHOICES = "choices"
    ANSWER = "answer"
    PASSAGE = "passage"


class MatchKind(StrEnum):
    """How an item resembles a benchmark item."""

    VERBATIM = "verbatim"  # it holds a window of its text, or the same options
    SIMILAR = "similar"  # another wording, other numbers or names


class Severity(StrEnum):
    """What a gate that fails does."""

    BLOCK = "block"
    WARN = "warn"


class Outcome(StrEnum):
    """What a verdict does to the export."""

    HOLDS = "holds"
    WARNS = "warns"  # it fails and its severity is warn
    QUARANTINED = "quarantined"  # it fails, the rows that made it fail are held back, the others go on
    BLOCKS = "blocks"  # it fails and nothing is exported


class GateName(StrEnum):
    """The gates that are no expectation of a table's suite; in the order in which they explain an empty export."""

    VOTER_BETTER_THAN_CHANCE = "voter_better_than_chance"
    JUDGE_TELLS_APART = "judge_tells_apart"
    PRECISION = "precision"
    NEGATIVES_STOPPED = "negatives_stopped"
    EACH_DEFECT_STOPPED = "each_defect_stopped"
    POSITIVES_SURVIVE = "positives_survive"
    CONTROLS_PRESENT = "controls_present"
    CONTAMINATED = "contaminated"
    CONTAMINATED_SIMILAR = "contaminated_similar"
    LICENCE_ALLOWED = "licence_allowed"
    LICENCE_COMPATIBLE = "licence_compatible"
    ATTRIBUTION_PRESENT = "attribution_present"
    LANGUAGES = "languages"
    FAILED_REQUESTS = "failed_requests"
    LABELS_COLLAPSE = "labels_collapse"
    TRUNCATION_RATE = "truncation_rate"
    DEGRADATION_RATE = "degradation_rate"
    DUPLICATE_RATE = "duplicate_rate"
    UNEXPLAINED = "unexplained"
    WRITER_IS_VOTER = "writer_is_voter"
    HIGH_DIFFICULTY_SHARE = "high_difficulty_share"
    LETTERS_BALANCED = "letters_balanced"
    BUDGET_MET = "budget_met"
    MIN_ROWS = "min_rows"


class QuarantineEvent(StrEnum):
    """What happened to an item under a gate."""

    QUARANTINED = "quarantined"
    RELEASED = "released"  # by a person: the gate does not hold this content back again
    REPLAYED = "replayed"  # by a person: the next gate run judges it afresh, and until then it stays out
    CLEARED = "cleared"  # judged afresh and let through; judged again by every later run


class Defect(StrEnum):
    """What is wrong with a control, a known item that travels with the drafts; a positive one has none."""

    NONE = "none"
    WRITER_ERROR = "writer_error"  # the generator's own wrong answer to a known question
    WRONG_ANSWER = "wrong_answer"
    WRONG_LETTER = "wrong_letter"
    CONTRADICTED = "contradicted"  # the solution ends in another answer
    QUANTITY_REMOVED = "quantity_removed"
    TWO_RIGHT_OPTIONS = "two_right_options"
    CUT_OFF = "cut_off"
    SHUFFLED = "shuffled"
    PROMPT_ECHO = "prompt_echo"
    SOURCE_REFERENCE = "source_reference"  # to a text or figure that is not there
    ANSWER_GIVEN = "answer_given"
    SEED_COPY = "seed_copy"
    SEED_NEAR_COPY = "seed_near_copy"
    BENCHMARK_LEAK = "benchmark_leak"
    WRONG_LANGUAGE = "wrong_language"


class Withdrawable(StrEnum):
    """What a person can withdraw from use."""

    SEED = "seed"
    SOURCE = "source"
    LICENCE = "licence"


class Cause(StrEnum):
    """Where a token of a prompt or reply went. A rule of a stage names its own (stages/rejects.py)."""

    KEPT = "kept"
    THINKING = "thinking"
    TRUNCATION = "truncation"
    LABEL = "label"  # the price of measuring
    PROBE = "probe"  # scored to see what a checkpoint lacks: prompts alone, nothing is generated
    VOTE = "vote"  # the price of checking: blind answers, also a student's, judgements, scores of fluency and rubric
    REWRITE_UNUSED = "rewrite_unused"
    PARSE_FAILURE = "parse_failure"
    DEGRADATION = "degradation"
    UNLABELLED = "unlabelled"
    DISPUTE = "dispute"
    DUPLICATE = "duplicate"
    CONTAMINATION = "contamination"
    RULE = "rule"  # a named rule for what an item says
    CONTROL = "control"  # the price of knowing what the checks are worth
    OVER_BUDGET = "over_budget"
    GATE = "gate"
    NOT_SCORED = "not_scored"
    GENERATION_FAILED = "generation_failed"
    UNFINISHED = "unfinished"  # no reject, not in the mix, and no gate has stopped the run
    UNKNOWN_TEMPLATE = "unknown_template"  # of a prompt of another release
    RETRY = "retry"  # taken along by dead engines, or of requests answered twice


STRATEGIES, FORMATS, CAUSES, FINISH_REASONS = (
    tuple(map(str, words)) for words in (Strategy, Format, Cause, FinishReason)
)
