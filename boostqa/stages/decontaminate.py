"""items, benchmarks -> contamination: every benchmark item whose text stands in an item, or that resembles it.

Grain: one match between a field of an item and a benchmark item. Key: draft_id, field, benchmark, benchmark_item, kind.
Nothing disappears here, the caller drops. `similar` is similarity's measure of the question with its options, for what
is not `verbatim`. What neither knows: free paraphrases, translations, and texts shorter than one window that stand
inside a longer one, but for questions whose options follow after letters.

Verbatim: every field becomes keys, and equal keys are a match: each run of `ngram_words` words (13 as in Brown et al.,
"Language Models are Few-Shot Learners", 2020, appendix C), each window of `window_characters` characters where Chinese
or Japanese dominates, also across the end of a question into its options, a shorter text as a whole, the set of options,
and question and options together. Keys of a whole, a set and an item begin with a mark of their own, so that they match
their own kind only. Options are compared without their letters, wherever they stand (wording.separated); an item inside
a longer text is known by its options and the end of its question.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from boostqa.config import Clean
from boostqa.matching_text import cjk_characters, folded, grams, is_cjk
from boostqa.schemas import CONTAMINATION, HELD_OUT
from boostqa.stages import similarity
from boostqa.stages.wording import items_inside, question_with_options, separated, without_letters
from boostqa.vocabulary import MatchedField, MatchKind

_WHOLE, _SET, _ITEM, _INSIDE = "\x01", "\x02", "\x03", "\x04"  # no normalised text holds them
_MARKS = f"[{_WHOLE}{_SET}{_ITEM}{_INSIDE}]"
_MIN_WORDS, _MIN_CHARACTERS = 4, 8  # of a text that matches as a whole
_MIN_OPTIONS, _MIN_OPTION_LETTERS = 3, 12  # of a set of options, together
_MIN_ITEM_CHARACTERS = 16  # of question and options together
_END_CHARACTERS, _ENDING = 6, 120  # of a question inside a text: those compared, and those read
_MANY_ITEMS = 10  # the limit of Brown et al. for windows that tell no leak
_FEWEST_ITEMS, _STOCK_SHARE = 3, 0.2  # of a small benchmark: an instruction, not the items of one template
_PASSAGE_WINDOWS = 50  # that the same items share: no instruction is as long, a passage with several questions is
_MATCH_CHARACTERS = 200
_TEXT_CHARACTERS, _TEXT_BEFORE = 500, 100


def _windows(text: Column, conf: Clean) -> Column:
    """Runs of words, or of characters at least half of which are Chinese or Japanese: formulas alone tell no leak."""
    every = grams(text, conf.ngram_words, conf.window_characters)
    prose = F.filter(every, lambda window: cjk_characters(window) * 2 >= conf.window_characters)
    return F.when(is_cjk(text), prose).otherwise(every)


def _whole(text: Column) -> Column:
    """The text itself where it is long enough to mean something."""
    spaces = F.length(F.regexp_replace(text, "[^ ]+", ""))
    long_enough = F.when(is_cjk(text), F.length(text) - spaces >= _MIN_CHARACTERS).otherwise(spaces + 1 >= _MIN_WORDS)
    return F.when(long_enough, F.array(F.concat(F.lit(_WHOLE), text))).otherwise(F.array())


def _options(folded_options: Column) -> Column:
    """The options in an order of their own, as one text."""
    bare = F.transform(folded_options, lambda option: F.replace(option, F.lit(" ")))
    return F.array_join(F.array_sort(F.array_distinct(bare)), "|")


def _set(choices: Column, options: Column) -> Column:
    """The options; a few letters or numbers only would equal those of unrelated items."""
    letters = F.length(F.regexp_replace(options, r"\P{L}+", ""))
    enough = (F.size(F.array_distinct(choices)) >= _MIN_OPTIONS) & (letters >= _MIN_OPTION_LETTERS)
    return F.when(enough, F.array(F.concat(F.lit(_SET), options))).otherwise(F.array())


def _item(question: Column, choices: Column, options: Column) -> Column:
    """Question and options as one key: it tells a short question apart that others share."""
    whole = (F.size(choices) > 1) & (F.length(question) + F.length(options) >= _MIN_ITEM_CHARACTERS)
    return F.when(whole, F.array(F.concat(F.lit(_ITEM), question, F.lit("|"), options))).otherwise(F.array())


def _inside(question: Column, options: Column) -> Column:
    """Options and the end of the question as a key: all that is sure of an item inside a longer text."""
    end = F.right(F.replace(question, F.lit(" ")), F.lit(_END_CHARACTERS))
    enough = F.length(end) + F.length(options) >= _MIN_ITEM_CHARACTERS
    return F.when(enough, F.concat(F.lit(_INSIDE), end, F.lit("|"), options))


def _items_inside(text: Column) -> Column:
    """Keys of the multiple-choice items that stand in a text."""

    def parts(item: Column) -> Column:  # the end of the question, then the options
        end = F.right(item["question"], F.lit(_ENDING))
        return F.transform(F.concat(F.array(end), item["choices"]), folded)

    def key(parts: Column) -> Column:
        return _inside(parts[0], _options(F.slice(parts, F.lit(2), F.size(parts))))

    keys = F.transform(F.transform(items_inside(text), parts), key)
    return F.array_compact(F.coalesce(keys, F.array()))


def _border(question: Column, choices: Column, conf: Clean) -> Column:
    """The end of a question and the beginning of its options, as much of each as a window can hold: texts are folded."""
    words, characters = conf.ngram_words - 1, conf.window_characters - 1
    end = F.when(is_cjk(question), F.right(question, F.lit(characters)))
    begin = F.when(is_cjk(choices), F.left(choices, F.lit(characters)))
    end = F.coalesce(end, F.substring_index(question, " ", -words))
    return F.concat(end, F.lit(" "), F.coalesce(begin, F.substring_index(choices, " ", words)))


def _fields(rows: DataFrame, conf: Clean, ids: list[str], fields: list[str]) -> DataFrame:
    """`rows` -> [*ids, field, text, border, own]: each field folded, the text where it goes on into the next field, and
    keys of its own; `choices` is one field, its options joined."""
    prose = [f for f in fields if f != MatchedField.CHOICES]
    parts = separated(F.col("question"), F.col("choices"))
    rows = rows.withColumns({"parts": parts, "inside": F.transform(F.array(*prose), _items_inside)})
    rows = rows.withColumns({c: F.col("parts")[c] for c in ("question", "choices")})
    texts = F.array(*(F.col(f) if f in prose else F.array_join(f, " ") for f in fields))
    # Folded once, and in one expression for all: it is what costs, to compute and to plan.
    folded_texts = F.transform(texts, lambda text: folded(without_letters(text)))
    rows = rows.withColumns({"texts": folded_texts, "folded_options": F.transform("choices", folded)})
    rows = rows.withColumn("options", _options(F.col("folded_options")))
    text = {f: F.col("texts")[i] for i, f in enumerate(fields)}
    question, choices, options = text["question"], F.col("choices"), F.col("options")
    together = F.array_compact(F.array(F.when(F.size(choices) > 2, _inside(question, options))))
    own = {f: F.col("inside")[i] for i, f in enumerate(prose)} | {"choices": _set(choices, options)}
    own["question"] = F.concat(_item(question, choices, options), together, own["question"])
    border = {f: F.lit(None).cast("string") for f in fields}
    border["question"] = _border(question, text["choices"], conf)
    names = {"text": text, "border": border, "own": own}
    structs = (F.struct(F.lit(f).alias("field"), *(of[f].alias(name) for name, of in names.items())) for f in fields)
    return rows.select(*ids, F.inline(F.array(*structs)))


def _keys(rows: DataFrame, conf: Clean, ids: list[str], fields: list[str]) -> DataFrame:
    """`rows` -> [*ids, field, position, place, key]. `place` is where in the field a window stands, as a share of its
    length; 0 for other keys."""
    each = _fields(rows, conf, ids, fields)
    each = each.withColumn("both", F.transform(F.array("text", "border"), lambda text: _windows(text, conf)))
    windows, beyond = F.col("both")[0], F.col("both")[1]
    whole = F.when(F.size(windows) == 0, _whole(F.col("text"))).otherwise(F.array())
    keys = F.concat(windows, beyond, whole, F.coalesce("own", F.array()))
    placed = each.select(*ids, "field", F.size(windows).alias("size"), F.posexplode(keys).alias("position", "key"))
    place = F.when(F.col("position") < F.col("size"), F.col("position") / F.col("size")).otherwise(0.0)
    return placed.select(*ids, "field", "position", place.alias("place"), "key")


def _benchmark_keys(benchmarks: DataFrame, conf: Clean) -> DataFrame:
    """[benchmark, item_id, key] without stock phrases ("Which of the following is true?"), which tell no leak.

    A whole or a set is one when differing items of a benchmark share it; a window when more than _MANY_ITEMS do, so that
    it never matches more items than that, or a substantial share of a small benchmark: a common instruction, unless the
    same items share so many windows that it is a passage. A window counts once in an item and its twins.
    """
    items = benchmarks.withColumn("item", F.xxhash64("question", "choices"))
    sizes = items.groupBy("benchmark").agg(F.countDistinct("item").alias("size"))  # unique by benchmark
    every = _keys(items, conf, ["benchmark", "item_id", "item"], ["question", "choices", "answer"])
    every = every.where(~F.col("key").startswith(_WHOLE) | (F.col("field") == "question"))
    sharing = Window.partitionBy("benchmark", "key")
    differing = every.withColumn("sharers", F.array_sort(F.collect_set("item").over(sharing)))
    shared = differing.withColumn("sharing", F.size("sharers")).join(F.broadcast(sizes), on="benchmark", how="inner")
    common = (F.col("sharing") >= _FEWEST_ITEMS) & (F.col("sharing") >= F.col("size") * _STOCK_SHARE)
    text = F.when(common & (F.col("sharing") <= _MANY_ITEMS), F.xxhash64("sharers")).otherwise(F.xxhash64("key"))
    windows = F.size(F.collect_set("key").over(Window.partitionBy("benchmark", text)))
    instruction = common & (F.col("windows") < _PASSAGE_WINDOWS)
    window = ~F.col("key").rlike(f"^{_MARKS}")
    stock = F.when(window, instruction | (F.col("sharing") > _MANY_ITEMS)).otherwise(F.col("sharing") > 1)
    return shared.withColumn("windows", windows).where(~stock).select("benchmark", "item_id", "key")


def evidence(contamination: DataFrame) -> DataFrame:
    """CONTAMINATION rows -> [draft_id, kind, evidence], unique by draft_id: of each item the first verbatim match, else
    the most similar one, in words, "benchmark/benchmark item field: match"; a score follows the item of a similar one."""
    similar = F.when(F.col("kind") == MatchKind.SIMILAR, F.format_string(" (%.2f)", "score")).otherwise("")
    item = F.concat(F.concat_ws("/", "benchmark", "benchmark_item"), F.lit(" "), "field", similar)
    words = F.concat(item, F.lit(": "), "match").alias("evidence")
    best = F.min(F.struct((F.col("kind") != MatchKind.VERBATIM).alias("last"), -F.col("score"), words, "kind"))
    return contamination.groupBy("draft_id").agg(best.alias("best")).select("draft_id", "best.kind", "best.evidence")


def held_out(items: DataFrame, conf: Clean) -> DataFrame:
    """Items of benchmarks and of the probe (sources.read_items; item_id is unique inside a benchmark; read three times: the
    caller stores them) -> HELD_OUT rows: made once, for all that is compared with them."""
    ids = ["benchmark", "item_id"]
    keys = _benchmark_keys(items, conf).groupBy(*ids).agg(F.sort_array(F.collect_set("key")).alias("keys"))
    index = similarity.index(items)
    return items.join(keys, ids, "left").join(index, ids, "left").select(*HELD_OUT.schema.names)  # unique by ids


def verbatim(items: DataFrame, held: DataFrame, conf: Clean) -> DataFrame:
    """Items and HELD_OUT rows of `matches` -> [draft_id, field, benchmark, benchmark_item, match, place].

    Each field of an item is compared with the question, the joined options and the answer of each benchmark item; an
    answer there counts only from one full window on. `match` is the first matching key by position, up to 200
    characters, `place` where in the field it stands, 0..1.
    """
    ours = _keys(items, conf, ["draft_id"], list(MatchedField))
    theirs = held.select("benchmark", F.col("item_id").alias("benchmark_item"), F.explode("keys").alias("key"))
    # The items are what scales: only hashes of the benchmarks, the smaller side, travel to them (8 bytes per window, no
    # shuffle of items). The few windows that remain then meet the benchmarks' text, which also settles equal hashes.
    hashes = theirs.select(F.xxhash64("key").alias("hash"))
    suspects = ours.withColumn("hash", F.xxhash64("key")).join(F.broadcast(hashes), on="hash", how="left_semi")
    found = suspects.join(theirs, on="key", how="inner")  # many to many: a window may stand in several items
    first = F.min(F.struct("position", "place", "key")).alias("first")
    firsts = found.groupBy("draft_id", "field", "benchmark", "benchmark_item").agg(first)
    match = F.substring(F.regexp_replace("first.key", f"^{_MARKS}", ""), 1, _MATCH_CHARACTERS)
    return firsts.select("draft_id", "field", "benchmark", "benchmark_item", match.alias("match"), "first.place")


def _item_text() -> Column:
    """The field of an item that matches, from a little before the match."""
    question = question_with_options(F.col("question"), F.col("choices"))
    text = (
        F.when(F.col("field") == MatchedField.QUESTION, question)
        .when(F.col("field") == MatchedField.CHOICES, F.array_join("choices", "\n"))
        .when(F.col("field") == MatchedField.ANSWER, F.col("answer"))
        .when(F.col("field") == MatchedField.PASSAGE, F.col("passage"))
    )
    begin = F.floor(F.col("place") * F.length(text)).cast("int") - _TEXT_BEFORE
    return F.substring(text, F.greatest(begin, F.lit(0)) + 1, F.lit(_TEXT_CHARACTERS))


def matches(items: DataFrame, held: DataFrame, conf: Clean) -> DataFrame:
    """[draft_id, source, generator, question, choices, answer, passage] and HELD_OUT rows -> CONTAMINATION rows."""
    ids = ("draft_id", "benchmark", "benchmark_item")
    exact = verbatim(items, held, conf).select(
        *ids, "field", F.lit(MatchKind.VERBATIM).alias("kind"), F.lit(1.0).alias("score"), "match", "place"
    )
    close = similarity.similar(items, held, conf.min_similarity).select(
        *ids, F.lit(MatchedField.QUESTION).alias("field"), F.lit(MatchKind.SIMILAR).alias("kind"), "score",
        F.left("match", F.lit(_MATCH_CHARACTERS)).alias("match"), F.lit(0.0).alias("place"),
    )  # fmt: skip
    first_kind = F.max("kind").over(Window.partitionBy(*ids))  # verbatim > similar
    found = exact.unionByName(close).withColumn("first_kind", first_kind).where("kind = first_kind")
    theirs = held.select(
        "benchmark", F.col("item_id").alias("benchmark_item"),
        F.left(question_with_options(F.col("question"), F.col("choices")), F.lit(_TEXT_CHARACTERS)).alias("benchmark_text"),
    )  # fmt: skip
    ours = items.select("draft_id", "source", "generator", "question", "choices", "answer", "passage")
    both = found.join(ours, on="draft_id", how="inner")  # items: unique by draft_id
    texts = both.withColumn("item_text", _item_text()).join(theirs, on=["benchmark", "benchmark_item"], how="inner")
    return texts.select(*CONTAMINATION.schema.names)


def leaked_seeds(seeds: DataFrame, held: DataFrame, conf: Clean) -> DataFrame:
    """SEED rows that share text with one of the HELD_OUT rows, or have a question like its -> [seed_id, kind, evidence],
    unique by seed_id.

    Generating from such a seed would be paid for and then thrown away by `clean`: what is made from the copy of a
    benchmark item with other numbers is close to that item, too. Documents are compared verbatim only.
    """
    no = F.lit(None).cast("string")
    items = seeds.select(
        F.col("seed_id").alias("draft_id"), "source", F.lit("").alias("generator"),
        "question", "choices", no.alias("answer"), F.col("text").alias("passage"),
    )  # fmt: skip
    return evidence(matches(items, held, conf)).withColumnRenamed("draft_id", "seed_id")
