"""labelled texts -> a small annotator of disciplines; items -> what it says of them. Grain and key: one item, item_id.

Terms are words, Chinese characters, and pairs of neighbours of either, so that one model reads both languages; a term
counts once however often it occurs, weighed by how rare it is, and a text has length 1 however long it is: a chapter and
a question are then alike. A multinomial logistic regression gives a probability to each discipline that it was trained on.
What it does not know: difficulty, and every discipline without a labelled text; of these it names another, so a
threshold on its probability is part of its use.
"""

import operator
from functools import reduce

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import (
    IDF,
    HashingTF,
    IndexToString,
    NGram,
    Normalizer,
    RegexTokenizer,
    SQLTransformer,
    StringIndexer,
    StringIndexerModel,
)
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.config import Distil

_WORD = r"\p{IsHan}|[\p{L}\p{M}&&[^\p{IsHan}]]+"  # numbers tell no field


def untrained(conf: Distil) -> Pipeline:
    """What is fitted to [text, discipline] (neither null): terms, their weights, labels, the regression."""
    return Pipeline(
        stages=[
            RegexTokenizer(inputCol="text", outputCol="words", pattern=_WORD, gaps=False),
            NGram(inputCol="words", outputCol="pairs"),
            SQLTransformer(statement="SELECT *, concat(words, pairs) AS terms FROM __THIS__"),
            HashingTF(inputCol="terms", outputCol="places", numFeatures=conf.features, binary=True),
            IDF(inputCol="places", outputCol="weights"),
            Normalizer(inputCol="weights", outputCol="features"),
            StringIndexer(inputCol="discipline", outputCol="label", stringOrderType="alphabetAsc"),
            LogisticRegression(
                family="multinomial",
                regParam=conf.regularisation,
                maxIter=conf.max_iterations,
                standardization=False,  # rare terms are what tells a field: their weights are not scaled down
                aggregationDepth=2,
            ),
        ]
    )


def annotator(fitted: PipelineModel) -> PipelineModel:
    """The fitted pipeline as it is saved and applied: it reads `text` alone and ends with the discipline's code."""
    *terms, indexer, regression = fitted.stages
    assert isinstance(indexer, StringIndexerModel)
    named = IndexToString(inputCol="prediction", outputCol="discipline", labels=indexer.labels)
    return PipelineModel([*terms, regression, named])


def labelled(items: DataFrame, model: PipelineModel) -> DataFrame:
    """Items [item_id, text] -> [item_id, discipline, discipline_probability] by the annotator.

    The discipline is the most probable one of the most probable broad field: neighbours that share a text between them
    (chemistry, physics) outweigh a stranger, as they should.
    """
    codes = model.stages[-1].getOrDefault("labels")
    said = model.transform(items.select("item_id", F.coalesce("text", F.lit("")).alias("text")))
    probabilities = said.select("item_id", vector_to_array(F.col("probability")).alias("p"))

    def best(broad: str) -> Column:
        each = [
            F.struct(F.col("p")[i].alias("p"), F.lit(code).alias("code"))
            for i, code in enumerate(codes)
            if code[:2] == broad
        ]
        total = reduce(operator.add, (one["p"] for one in each))
        return F.struct(total.alias("total"), F.array_max(F.array(*each)).alias("best"))

    chosen = F.array_max(F.array(*(best(broad) for broad in sorted({code[:2] for code in codes}))))
    named = probabilities.select("item_id", chosen["best"].alias("best"))
    return named.select(
        "item_id", F.col("best.code").alias("discipline"), F.col("best.p").alias("discipline_probability")
    )
