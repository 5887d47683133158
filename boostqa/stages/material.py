"""What of a seed, of exemplars and of earlier questions is shown in a synthesis prompt, in words.

Pure columns. A question must stand alone, so the material shows no sentence that points at something the learner will
not see; and of a QA seed its question only, because copying its answer would be the easy way.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from boostqa import prompts
from boostqa.stages.wording import answer_line, question_with_options
from boostqa.vocabulary import Kind

ASKED_QUESTIONS, ASKED_CHARACTERS = 4, 200  # of the earlier questions on a seed, how many and how much of each is shown
_SENTENCE_END = r"(?<=[.!?])\s+(?=[\p{Lu}\p{Nd}$\\(])|(?<=[。！？])"
_POINTS_ELSEWHERE = (
    r"(?i)\b(?:figures?|figs?\.|diagrams?|photographs?|illustrations?)\b"
    r"|\b(?:tables?|chapters?|sections?|examples?|exercises?|problems?|equations?|eqs?\.)\s*\(?\p{Nd}"
    r"|\b(?:above|below|previous(?:ly)?|preceding|following|earlier|this (?:chapter|section|module|example))\b"
    r"|\bwe (?:have (?:seen|learned)|saw|discussed|learned)\b"
    r"|[图表例节章式]\s?[\p{Nd}（(]|(?:如|见|上|下|左|右)[图表]|[上下][文述例节]|本[章节页例]"
)


def _standing_alone(text: Column) -> Column:
    """`text` without the sentences that point at a figure, an example, another place; the whole text where all do."""

    def kept(line: Column) -> Column:
        return F.array_join(F.filter(F.split(line, _SENTENCE_END), lambda s: ~s.rlike(_POINTS_ELSEWHERE)), " ")

    lines = F.transform(F.split(text, r"\n"), kept)
    return F.coalesce(F.nullif(F.btrim(F.array_join(lines, "\n")), F.lit("")), text)


def _part(name: str) -> Column:
    return prompts.wording("part", F.lit(name), F.col("lang"))


def shown() -> Column:
    """What a row's seed gives: its topic and facts, or the question of a QA seed.

    Reads `lang`, and of the seed `kind`, `title`, `text`, `question`, `choices`.
    """
    topic = F.coalesce(F.concat(_part("topic"), "title", F.lit("\n")), F.lit(""))
    question = F.concat(_part("qa"), question_with_options(F.col("question"), F.col("choices")))
    facts = F.concat(_part("document"), _standing_alone(F.col("text")))
    return F.concat(topic, F.when(F.col("kind") == Kind.QA, question).otherwise(facts))


def exemplars() -> Column:
    """The row's `exemplars` with their answers, as a part of the prompt; empty where it has none."""

    def told(item: Column) -> Column:
        question = question_with_options(item["question"], item["choices"])
        return F.concat(_part("question"), question, F.lit("\n"), answer_line(F.col("lang"), item["answer"]))

    return _unless_empty("exemplars", F.transform("exemplars", told), "\n\n")


def asked() -> Column:
    """The questions `asked` of the row's seed before, as a part of the prompt; empty where there are none."""
    short = F.transform(
        F.slice("asked", 1, ASKED_QUESTIONS), lambda q: F.concat(F.lit("- "), F.left(q, F.lit(ASKED_CHARACTERS)))
    )
    return _unless_empty("asked", short, "\n")


def _unless_empty(name: str, items: Column, between: str) -> Column:
    told = F.concat(F.lit("\n"), _part(name), F.array_join(items, between), F.lit("\n"))
    return F.when(F.size(items) > 0, told).otherwise(F.lit(""))
