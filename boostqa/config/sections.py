"""One section of the conf for each stage: what changes rows. Rates are shares of rows, 0..1."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from boostqa.config.base import Flag, NotNegative, PlaceText, Positive, Section, Share
from boostqa.config.components import Component
from boostqa.config.source import Source, language_tag, spdx_licence
from boostqa.vocabulary import AnnotatedBy, Format, GateName, ProbeMethod, Severity
from udfs import licences


class Seed(Section):
    """Stage 1. Lengths in characters of normalised text, `max_tokens` of a chunk under the target tokenizer."""

    sources: Annotated[list[Source], Field(min_length=1)]
    licences: Annotated[list[str], Field(min_length=1)]
    languages: Annotated[list[str], Field(min_length=1)] = ["en", "zh"]
    max_tokens: Positive = 512
    min_characters: Positive = 40
    min_question_characters: Positive = 8
    max_symbol_ratio: Share = 0.5
    max_repeated_line_ratio: Share = 0.3

    @field_validator("languages")
    @classmethod
    def _languages_are_known(cls, tags: list[str]) -> list[str]:
        return [language_tag(tag) for tag in tags]

    @field_validator("licences")
    @classmethod
    def _licences_are_single(cls, names: list[str]) -> list[str]:
        known = [spdx_licence(name) for name in names]
        if joined := [name for name in known if licences.is_joined(name)]:
            raise ValueError(f"{joined[0]}: list each licence by itself; what may be joined follows from the list")
        return known


class Controls(Section):
    """Known items that travel with the drafts and are never exported: what they meet tells what the checks are worth.

    `sources` are labelled public sets (kind qa, answers mapped), never a benchmark's test split; `count` items are drawn
    by hash, once each, `positive_share` of them left as they are and the others spoilt in one way each.
    """

    sources: list[Source] = []
    count: Positive = 240
    positive_share: Share = 0.5


class Annotate(Section):
    """Stage 2. `max_characters` of an item that the annotator reads; `votes` chunks of a document are asked for its
    discipline.

    `by` says of a source who names the discipline of its seeds: the annotator (llm, also of sources not named here), or the
    small model that `boostqa distil` trains, where it gives its label a probability of `min_probability` at least. A
    discipline to which the annotator gives less than `min_llm_probability` is "cannot tell": of 140 items of MMLU, CMMLU,
    C-Eval and MATH 0.3 drops 6 of 48 wrong labels and 2 of 92 right ones of a 0.5B model, 0.4 drops 9 and 4.
    """

    max_characters: Positive = 1500
    votes: Positive = 3
    by: dict[str, AnnotatedBy] = {}
    min_probability: Share = 0.6
    min_llm_probability: Share = 0.3


class Distil(Section):
    """`boostqa distil`: trains a small annotator of disciplines. `sources` are labelled items (a mapped `discipline`, or a
    `subject` that boostqa/taxonomy knows); empty: what the annotator said of seeds (table annotation).

    `features` are the places that terms are hashed to, `regularisation` is the L2 penalty, `held_out` the share of the
    labelled items (documents) that it is measured on and not trained on.
    """

    model: PlaceText | None = (
        None  # folder, URI or models:/NAME of an MLflow registry; default: _distilled in the warehouse
    )
    sources: list[Source] = []
    features: Positive = 2**18
    regularisation: Annotated[float, Field(ge=0, strict=True)] = 1e-5
    max_iterations: Positive = 60
    held_out: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.1


class Scorecard(Section):
    """`boostqa scorecard`: labelled items, `items` of each source, of its disciplines as many of one as of another. What
    resembles one of these sources' items is left out of the distilled annotator's training."""

    sources: list[Source] = []
    items: Positive = 200


class Checkpoint(Section):
    """A checkpoint of the model in training: a folder or a Hugging Face id; a conf may write the id alone."""

    id: PlaceText
    tokens_seen: Positive | None = None  # in training so far; a series of these gives the trend


def _checkpoint(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


CheckpointRef = Annotated[Checkpoint, BeforeValidator(_checkpoint, json_schema_input_type=str | Checkpoint)]


class Probe(Section):
    """Stage 3: held-out items, checkpoints and methods."""

    items: Annotated[list[Source], Field(min_length=1)]
    checkpoints: list[CheckpointRef] = []  # in order of training; empty: the generator itself
    methods: Annotated[list[ProbeMethod], Field(min_length=1)] = list(ProbeMethod)

    @field_validator("checkpoints")
    @classmethod
    def _are_in_order_of_training(cls, checkpoints: list[Checkpoint]) -> list[Checkpoint]:
        ids = [c.id for c in checkpoints]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"each checkpoint once, got {', '.join(twice)} twice")
        seen = [c.tokens_seen for c in checkpoints if c.tokens_seen]
        if seen != sorted(set(seen)):
            raise ValueError(f"in order of training tokens_seen grows, got {', '.join(map(str, seen))}")
        return checkpoints


class Plan(Section):
    """Stage 4. `tokens` and `floor_tokens` are kept tokens; `kept_tokens_per_request` turns them into requests."""

    tokens: Positive
    high_difficulty_share: Share
    stem_boost: Annotated[float, Field(ge=1, strict=True)] = 2.0
    exploration: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.25  # weight of a cell that does not rise
    floor_tokens: NotNegative = 0  # of each cell, as far as its seeds bear them
    when_short: Literal["fail", "lower"] = "fail"  # where the seeds do not bear `tokens`
    kept_tokens_per_request: Positive  # before the first round; then what its requests left
    min_novelty: Share = 0.3  # of what a cell brought; where less was new, nothing more until there are new seeds
    max_requests_per_seed: Positive = 12  # in all its cells together
    formats: Annotated[list[Format], Field(min_length=1)] = list(Format)


class Round(Section):
    """One pass from probe to gate. `checkpoint` is one of probe.checkpoints (default: the last); those before it in the
    list give the trend. It plans `tokens`, or its `share` of what the rounds before it left of plan.tokens (default: all).
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
    checkpoint: PlaceText | None = None
    tokens: Positive | None = None
    share: Annotated[float, Field(gt=0, le=1, strict=True)] | None = None


class Sampling(Section):
    """Sampling parameters of one kind of request; `max_tokens` includes thinking."""

    temperature: Annotated[float, Field(ge=0, strict=True)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.95
    max_tokens: Positive = 1024


class Synthesize(Section):
    """Stage 5. `exemplars` are shown in a prompt; `retries` follow a try that was cut off, cannot be
    parsed, copies or is unfit."""

    sampling: Sampling = Sampling()
    exemplars: NotNegative = 2
    retries: NotNegative = 1
    harder_tries: NotNegative = 1  # of a high_difficulty request whose draft is measured below its aim
    below_aim: Literal["reject", "keep"] = "reject"  # a high_difficulty draft measured below its aim


class Refine(Section):
    """Stage 6: blind attempts and the rewrite."""

    blind_attempts: Positive = 3
    blind: Sampling = Sampling()
    rewrite: Sampling = Sampling(temperature=0.0, top_p=1.0)


class MinHash(Section):
    """Near duplicates: `bands` x `rows` permutations over shingles of `words`, or of `characters` in Chinese and
    Japanese."""

    bands: Positive = 14
    rows: Positive = 8
    words: Positive = 5
    characters: Positive = 10


class Clean(Section):
    """Stage 7: rules, near duplicates, and windows of the decontamination."""

    benchmarks: list[Source]
    min_question_characters: Positive = 15
    max_question_characters: Positive = 4000
    max_repetition: Share | None = None  # of a question or solution; empty: what the seeds of its language show
    student_attempts: Positive = 8  # of model.student at each item
    fluency_seeds: Positive = 200  # of a language, from which model.fluency learns what is usual
    minhash: MinHash = MinHash()
    ngram_words: Positive = 13
    window_characters: Positive = 16
    min_similarity: Share = 0.3  # of a question that is close to a benchmark's: the score from which it is `similar`


class Gate(Section):
    """Stage 8: limits of the gates; rates are shares of rows, a limit of null switches its gate off.

    A gate that fails blocks the export. Two things change that: `severity` says of a gate (GATE or TABLE.GATE) that it
    only warns, and with `quarantine` the rows that made a gate fail are held back while the others go on; a gate that
    fails on its table as a whole blocks all the same.
    """

    quarantine: Flag = False
    severity: dict[str, Severity] = {}
    max_degradation_rate: Share
    min_high_difficulty_share: Share
    max_truncation_rate: Share  # of the requests of a stage that write text, blind attempts included
    max_duplicate_rate: Share
    max_contaminated: NotNegative = 0
    max_similar: NotNegative = 0
    min_rows: Positive = 1  # left for the mix
    max_other_language_share: Share = 0.0
    # A healthy engine refuses single over-long prompts; a spent quota or a dead server fails all that comes after it.
    max_failed_requests: Share | None = 0.05
    # Of the labels of one kind; an annotator that gives one label to everything it reads measures nothing.
    max_label_share: Share | None = 0.95
    # Of multiple-choice items with the same answer; of 20 fair ones more than half have the same in 2 of 100 cases.
    max_letter_share: Share | None = 0.5
    min_budget_share: Share | None = 0.8  # of the tokens that the round is to give; the plan's yields are estimates
    # With fewer good controls the 95% interval of a share is wider than 0.35: nothing is known.
    min_controls: Positive | None = 30
    min_positives_kept: Share | None = 0.2  # below, the checks throw away four good items to keep one
    max_negatives_passed: Share | None = 0.2  # upper end of the interval, all defects together
    max_defect_passed: Share | None = 0.5  # of one defect: above, its check does no better than a coin
    min_precision: Share | None = 0.8  # of what is exported: what a reader of twenty items may expect

    @field_validator("severity")
    @classmethod
    def _gates_are_known(cls, severity: dict[str, Severity]) -> dict[str, Severity]:
        names = {key: key.rpartition(".")[2] for key in severity}
        # Expectations are known once the suites are built; the gate stage refuses others then.
        if unknown := [k for k, name in names.items() if name not in list(GateName) and not name.startswith("expect_")]:
            raise ValueError(
                f"{', '.join(unknown)}: no such gate; the gates are {', '.join(GateName)} and expectations"
            )
        return severity


class Mix(Section):
    """Stage 9: tokens to export and what they are made of, shards and formats.

    `passes`: how often a document may come where there are too few tokens (4: Muennighoff et al., "Scaling Data-Constrained
    Language Models", 2023, find up to that nearly as good as new text).
    """

    tokens: Positive
    components: Annotated[list[Component], Field(min_length=1)] = [Component(name="synthesized")]
    passes: Positive = 4
    document: Literal["item", "seed"] = "item"  # seed: the items of one component and round that were made from a seed
    order: Literal["shuffled", "easy_first"] = "shuffled"  # of the documents in a shard
    long_reasoning: Positive = 1500  # characters of a solution from which on its item is one of long reasoning
    shards: Positive = 8
    formats: Annotated[list[Literal["parquet", "jsonl", "megatron", "mds"]], Field(min_length=1)] = ["parquet", "jsonl"]
    end_of_text: str | None = None  # of the target tokenizer, behind each text in formats of token ids
    licence: str | None = None  # of the export; with one, a gate holds back what may not go out under it
    output_terms: dict[str, str] = {}  # model -> licence of what it writes, where it has terms for that

    @property
    def sources(self) -> list[Source]:
        """The other corpora."""
        return [c.source for c in self.components if c.source]

    @field_validator("licence")
    @classmethod
    def _licence_is_single(cls, name: str | None) -> str | None:
        if name is not None and licences.is_joined(spdx_licence(name)):
            raise ValueError("one licence: it is that of the export")
        return name and spdx_licence(name)

    @field_validator("output_terms")
    @classmethod
    def _terms_are_known(cls, terms: dict[str, str]) -> dict[str, str]:
        return {model: spdx_licence(name) for model, name in terms.items()}
