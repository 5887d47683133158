"""Whether an answer is of the kind that its format asks for, and whether the question gives it away.

Patterns of Java's regular expressions. What they do not know: whether the answer is right.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from boostqa.formulas import let
from boostqa.matching_text import cjk_characters
from boostqa.stages.wording import is_multiple_choice
from boostqa.vocabulary import DRAFT_LETTERS, Format

_NUMBER = r"\p{N}|[π∞√∅]|\\(?:pi|infty|sqrt|frac|emptyset)|(?i:\b(?:zero|one|two|three|half|none)\b)|[零一二三四五六七八九十百千万]"
# Refers to an answer instead of giving it, asks back, or is a fence without code.
_NO_ANSWER = (
    r"(?i)^\W*(?:(?:see|as in|refer to|given in|shown in)\b.{0,40}|n/?a|unknown|answers? (?:may|will) vary.{0,40}"
    r"|same as above|(?:the )?(?:above|answer|final answer|solution|proof|code|output|result|number|value)|q\.?e\.?d\.?"
    r"|proved|proven|done|yes or no|true or false|[见详如]?(?:上|下|解答|解析|略|答案略|过程略|证毕|得证|同上|见上|无))\W*$"
    r"|[?？]\s*$|\A\s*```\w*\s*(?:```)?\s*\z"
)
# The longest answers in words (a Chinese character is half a word): short_answer is a phrase or a sentence, a result a
# number with its unit, an explanation's or proof's conclusion a sentence or two; the work belongs into the solution.
_MOST_WORDS = {
    Format.CALCULATION: 25, Format.SHORT_ANSWER: 40, Format.EXPLANATION: 100, Format.PROOF: 100, Format.PROGRAMMING: 150,
}  # fmt: skip
_FEWEST_WORDS = {Format.EXPLANATION: 2, Format.PROOF: 3}  # "Yes" explains nothing, "5" is no claim
_WORK = r"(?i)\bstep \d|\n\s*\n[\s\S]*\n\s*\n|第[一二三四]步"


def _by_format(values: dict[Format, int]) -> Column:
    column = F.lit(None)
    for name, value in values.items():
        column = F.when(F.col("format") == name, value).otherwise(column)
    return column


def wrong_form(answer: Column) -> Column:
    """What is wrong with the form of an open answer, then the answer; empty where nothing is."""
    han = cjk_characters(answer)
    words = F.size(F.split(F.trim(F.regexp_replace(answer, r"\p{IsHan}", "")), r"\s+")) + F.floor(han / 2)
    numeric = F.col("format") == Format.CALCULATION
    brief = F.col("format").isin(Format.CALCULATION, Format.SHORT_ANSWER)
    formula = answer.rlike(r"[\\$=∀∃≤≥<>^]")
    fault = (
        F.when(answer.rlike(_NO_ANSWER), "no answer")
        .when(numeric & ~answer.rlike(_NUMBER), "no number")
        .when(words > _by_format(_MOST_WORDS), "too long")
        .when((words < _by_format(_FEWEST_WORDS)) & ~formula, "too short")
        .when(brief & answer.rlike(_WORK), "worked solution")
    )
    named = F.concat(fault, F.lit(": "), F.left(answer, F.lit(80)))
    return F.when(~is_multiple_choice(), F.coalesce(named, F.lit(""))).otherwise("")


_LEAD = (
    r"(?:(?:correct |right |final )?(?:answer|result|solution|option|choice)(?: (?:is|should be|would be)|\s*[:=])"
    r"|(?:正确)?(?:答案|选项|结果)(?:应?是|应?为|[:：]))\s*(?:option |choice )?[\s\"“(（*$]*"
)
_NAMED_LETTER = rf"(?i:{_LEAD})[{DRAFT_LETTERS}](?![\w'’])"
_LEADS = (
    "answer is ",
    "answer: ",
    "answer is: ",
    "answer = ",
    "result is ",
    "答案是",
    "答案为",
    "答案：",
    "答案: ",
    "答案是：",
)
_EQUATED = (" is ", "= ", "=", " equals ", "是", "为", "等于")
_FEWEST_LETTERS = 20  # of an answer that stands word for word in its question
_ALTERNATIVES = r"(?i)\b(?:or|whether|either|true|correct|prove|show that|verify)\b|还是|或者?|是否|证明|正确|对错"
_SPELLING = r"[\s$*\"“”。.,，!！?？]+"
_SENTENCE_END = r"(?<=[。？！])|(?<=[.!?])\s+"


def _bare(text: Column) -> Column:
    """Lower case between spaces, without marks of prose and mathematics."""
    return F.concat(F.lit(" "), F.trim(F.regexp_replace(F.lower(text), _SPELLING, " ")), F.lit(" "))


def _states(both: Column) -> Column:
    """Whether a question (struct of question, last sentence and answer, all bare) states the answer."""
    question, last, answer = both["question"], both["last"], F.trim(both["answer"])

    def after(text: Column, marks: tuple[str, ...]) -> Column:
        return F.exists(F.array(*map(F.lit, marks)), lambda mark: F.contains(text, F.concat(mark, answer, F.lit(" "))))

    quantity = answer.rlike(r"\d") & answer.rlike(r"\p{L}")
    letters = F.length(F.regexp_replace(answer, r"[^\p{L}\p{N}]+", "")) + cjk_characters(answer)
    word_for_word = (letters >= _FEWEST_LETTERS) & F.contains(question, both["answer"]) & ~question.rlike(_ALTERNATIVES)
    return (answer != "") & (after(question, _LEADS) | (quantity & after(last, _EQUATED)) | word_for_word)


def given_away(question: Column, choices: Column, answer: Column) -> Column:
    """How a question states its own answer; empty where it does not.

    "The answer is X", a letter named as the answer, X behind the question mark, a long X word for word, or, in the last
    sentence, X (a number with its unit) behind "is" or "=". What is to be proved, or chosen from two, may stand there.
    """
    option = F.get(choices, F.ascii(answer) - ord("A"))
    sought = F.coalesce(F.when(is_multiple_choice(), option).otherwise(answer), F.lit(""))
    last = F.element_at(F.split(F.trim(question), _SENTENCE_END), -1)
    both = F.struct(_bare(question).alias("question"), _bare(last).alias("last"), _bare(sought).alias("answer"))
    behind = F.trim(F.regexp_extract(question, r"[?？]\s*([^?？]+)$", 1)) == F.trim(sought)
    letter = F.when(is_multiple_choice(), F.regexp_extract(question, _NAMED_LETTER, 0)).otherwise("")
    stated = (F.col("format") != Format.PROOF) & (behind | let(both, _states))
    return F.when(letter != "", letter).when(stated, sought).otherwise("")
