"""draft, refined, clean and its rejects -> questions, novelty. Grain: one cell of the plan in one round. Key:
(discipline, difficulty).

How much of what a cell's requests brought was new. A cell that only repeats itself has given what its seeds have to give:
the next plan asks it for nothing until they are joined by others (stages/budget.py). What it does not know: whether two
questions that share no words ask the same.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.formulas import let
from boostqa.matching_text import folded, grams, units
from boostqa.schemas import NOVELTY
from boostqa.stages import deduplicate
from boostqa.wilson import wilson

CELL = ("discipline", "difficulty")
# Runs that are counted: of so many words (characters in Chinese and Japanese), as MinHash's shingles by default.
GRAM_WORDS, GRAM_CHARACTERS = 5, 10
BITS = 8  # of a SimHash code: at most 256 clusters


def _by_cell(rows: DataFrame, **sums: Column) -> DataFrame:
    return rows.groupBy("discipline", F.col("grade").alias("difficulty")).agg(
        *(value.alias(name) for name, value in sums.items())
    )


def simhash(text: Column) -> Column:
    """int: a code of BITS bits of a text's words; texts that share most words share most bits (M. Charikar 2002, STOC)."""
    hashes = F.transform(F.array_distinct(units(folded(text))), lambda word: F.xxhash64(word))

    def bit(words: Column, number: int) -> Column:
        signs = F.transform(words, lambda h: 2 * F.getbit(h, F.lit(number)).cast("int") - 1)
        return F.when(F.aggregate(signs, F.lit(0), lambda a, b: a + b) > 0, 1 << number).otherwise(0)

    return let(hashes, lambda words: sum((bit(words, number) for number in range(1, BITS)), bit(words, 0)))


def questions(clean: DataFrame, earlier: DataFrame) -> DataFrame:
    """CLEAN rows of a round and of those before -> [discipline, grade, runs (array<string>), code, new]; the caller stores
    them, which are read four times below."""
    rows = clean.withColumn("new", F.lit(True)).unionByName(earlier.withColumn("new", F.lit(False)), True)
    runs = grams(folded(F.col("question")), GRAM_WORDS, GRAM_CHARACTERS).alias("runs")
    return rows.select("discipline", "grade", runs, simhash(F.col("question")).alias("code"), "new")


def novelty(drafts: DataFrame, refined: DataFrame, rejects: DataFrame, questions: DataFrame) -> DataFrame:
    """DRAFT and REFINED rows of a round, the REJECT rows of its clean (unique by key), and `questions` -> NOVELTY rows, one
    for each cell with a draft. The difficulty of a cell is the grade that was aimed at."""
    names = [rule.name for rule in deduplicate.RULES]
    copies = rejects.where(F.col("rule").isin(names)).select(F.col("key").alias("draft_id"), F.lit(1).alias("copy"))
    arrived = refined.join(copies, "draft_id", "left")
    kept = questions.where("new")
    new, old = (
        rows.select("discipline", "grade", F.explode("runs").alias("gram"))
        for rows in (kept, questions.where("not new"))
    )
    unseen = new.distinct().join(old.distinct(), ["discipline", "grade", "gram"], "left_anti")
    parts = (
        _by_cell(arrived, items=F.count("*"), duplicates=F.count("copy")),
        _by_cell(kept, kept=F.count("*"), clusters=F.count_distinct("code")),
        _by_cell(new, grams=F.count("*"), distinct=F.count_distinct("gram")),
        _by_cell(unseen, unseen=F.count("*")),
    )
    rows = _by_cell(drafts, drafts=F.count("*"))
    for part in parts:
        rows = rows.join(part, list(CELL), "left")  # all unique by cell
    rows = rows.fillna(0).withColumn("novelty", 1 - F.try_divide("duplicates", "items"))
    figures = {
        "rejected": F.col("drafts") - F.col("kept"),
        "novelty_high": wilson(F.col("novelty"), F.nullif(F.col("items"), F.lit(0)))[1],
        "distinct_ngrams": F.try_divide("distinct", "grams"),
        "new_ngrams": F.try_divide("unseen", "distinct"),
    }
    return rows.withColumns(figures).select(*NOVELTY.schema.names)
