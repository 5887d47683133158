"""What a seed bears: the grades, formats and levers that a question can be asked in on its material, and how many.

Pure columns over a seed's measured difficulty, discipline, length and text. What it does not know: whether a model can
write such a question.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from boostqa.config import Plan
from boostqa.prompts import terms
from boostqa.taxonomy import broad_field, is_stem
from boostqa.vocabulary import GRADES, Format

# Steps between a seed's measured difficulty and the grade aimed at. One step down a subject can be told more simply;
# two steps up its ideas can be combined and generalised. Further away the material says nothing to the learner, or
# nothing of what the question is about: relativity in primary school, stickers in a competition.
LOWEST_STEP, HIGHEST_STEP = -1, 2
# A section of a textbook holds about one idea in so many tokens, and a question needs an idea of its own.
TOKENS_PER_QUESTION = 60
_PROOF_FIELDS = ("05",)  # broad fields in which statements are proved: natural sciences, mathematics, statistics
_PROGRAMMING_FIELDS = ("0612", "0613")  # databases and networks; software
_LOWEST_GRADE = {Format.PROOF: "H3", Format.PROGRAMMING: "H2"}  # earlier, neither is taught
# Something to calculate with: a relation or a command of LaTeX, or two numbers that are no years.
_NUMBER = r"(?<![\p{Nd}.])\p{Nd}{1,3}(?:\.\p{Nd}+)?(?![\p{Nd}.])"
_QUANTITIES = rf"[=≈≤≥∝√∑∫%°]|\\(?:frac|sqrt|times|cdot|sum|int)\b|(?s){_NUMBER}.*{_NUMBER}"
LEVERS = tuple(terms("lever")["en"])
_LEVERS_OF_STEM = ("limiting_case", "generalisation", "inverse_problem")  # they need quantities that can be varied


def _step(grade: Column) -> Column:
    return F.array_position(F.array(*map(F.lit, GRADES)), grade)


def bears_grade(grade: Column) -> Column:
    """Whether the seed's `difficulty` is near enough to `grade`."""
    return (_step(grade) - _step(F.col("difficulty"))).between(LOWEST_STEP, HIGHEST_STEP)


def has_quantities(text: Column) -> Column:
    """Whether a text has something to calculate with."""
    return text.rlike(_QUANTITIES)


def formats(grade: Column, conf: Plan) -> Column:
    """array<string>: the formats of the conf that a seed bears at `grade`.

    Reads `discipline` and `quantities` (what has_quantities says of its text). Calculation is for STEM with quantities,
    proof for natural sciences and mathematics from H3, programming for informatics from H2.
    """
    discipline = F.col("discipline")
    only = {
        Format.PROGRAMMING: discipline.isin(*_PROGRAMMING_FIELDS),
        Format.PROOF: broad_field(discipline).isin(*_PROOF_FIELDS),
        Format.CALCULATION: is_stem(discipline) & F.col("quantities"),
    }
    offered = []
    for name in conf.formats:
        fits = only.get(name, F.lit(True)) & (_step(grade) >= GRADES.index(_LOWEST_GRADE.get(name, "H1")) + 1)
        offered.append(F.when(fits, F.lit(name)))
    return F.array_compact(F.array(*offered))


def levers() -> Column:
    """array<string>: the levers that make a question of the seed's `discipline` hard."""
    of_all = [name for name in LEVERS if name not in _LEVERS_OF_STEM]
    return F.when(is_stem(F.col("discipline")), F.array(*map(F.lit, LEVERS))).otherwise(F.array(*map(F.lit, of_all)))


def questions(grades: Column, conf: Plan) -> Column:
    """How many questions a seed bears in its `grades` (array) together, by its `tokens`: at least one, at most the
    conf's limit. An idea can be asked for at every grade that the seed bears."""
    by_length = F.greatest(F.lit(1), F.floor(F.col("tokens") / TOKENS_PER_QUESTION)).cast("int")
    return F.least(F.lit(conf.max_requests_per_seed), by_length * F.size(grades))
