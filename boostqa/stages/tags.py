"""A draft, or the solution of a known question, as text between tags: the grammar that makes a model write it, and how it
is read.

    <question>...?</question>   (of a draft)
    <solution>...</solution>
    <A>...</A>                  (the options of a multiple-choice draft, to D)
    <answer>...</answer>

Text between tags leaves LaTeX as it is; in JSON a small model takes the escapes of LaTeX for the end of a field. A tag
that was opened asks to be closed; under headings a model that has finished its solution, and may not end before the
answer, goes on about anything. The options follow the solution: a model that writes them first has to guess which of them
will be right, and bends its solution to one. The grammar is deterministic (no text can be read in two ways), so that an
engine finds the allowed tokens in microseconds; and it ends what would not end: a question at its first question mark or after so many
sentences, a solution after so many sentences and lines. Text that asks nothing is left to the rule `no_task`: a model that wrote
"Calculate the force." and may not end there goes on about anything.
"""

import json
from functools import cache

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.control_tokens import escaped
from boostqa.lookup import literal_map
from boostqa.stages.wording import is_multiple_choice
from boostqa.vocabulary import DRAFT_LETTERS, Format
from udfs.text import INVISIBLE

# Sentences and lines of a question, and of a solution: somewhat more than the prompt asks for (terms.yaml, length).
_IN_QUESTION = 5
_IN_SOLUTION = {
    Format.MULTIPLE_CHOICE: 6, Format.SHORT_ANSWER: 6, Format.EXPLANATION: 7, Format.CALCULATION: 9, Format.PROOF: 11,
    Format.PROGRAMMING: 40,
}  # fmt: skip
# Of a known question's solution: no more than what ends one that goes round in circles, and what fits its max_tokens
# (solutions of two small models had 8 to 20 tokens a sentence or line; the number of a step counts as one).
_IN_REPLY, _TOKENS_A_SENTENCE = 24, 15
_ANSWER_WORDS = 40  # of an answer: more than a claim or a reason in one sentence has
_LINE = r'([^<\n] | "<" [^/\n])+'  # without the beginning of a closing tag
# A claim is stated, everything else is asked; only a programming problem needs several lines for its question.
_QUESTION = {Format.PROOF: f'("Prove that " | "证明：") {_LINE}', Format.PROGRAMMING: r'([^<?？] | "<" [^/?？])+ [?？]'}
_INVALID = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]"  # with what stands for bytes that are no UTF-8
_BLANK = " \t\n"


def _question_rules() -> list[str]:
    """Rules q0 ...: one line that ends at its first question mark or with a sentence; p: behind a full stop, which may be
    one of a number or an abbreviation."""
    rules = []
    for n in range(_IN_QUESTION):
        last = n == _IN_QUESTION - 1
        stop, space, letter = (
            ("", "", "") if last else (f" | q{n + 1}", f' | " " q{n + 1}', rf" | [^ .。?？<\n0-9] q{n + 1}")
        )
        rules.append(rf'q{n} ::= [^.。?？<\n]* ([?？] | "<" [^/?？\n] q{n} | "." p{n} | "。" (""{stop}))')
        rules.append(rf'p{n} ::= "" | [?？] | "." p{n} | "<" [^/?？\n] q{n} | [0-9] q{n}{letter}{space}')
    return rules


def _solution_rules(most: int) -> list[str]:
    """Rules s0 ...: at most `most` sentences and line ends, then the closing tag and `end`; d: behind a full stop.

    In the last sentence a full stop stands in a number or before the closing tag: a model that wants to go on and may not
    would take the one of ".5" for its way out. i: in a whole number, f, g: behind its point.
    """
    rules = []
    for n in range(most - 1):
        tag = f'"<" ("/solution>" end | [^/] s{n})'
        stops, rest = rf' | "\n" s{n + 1} | "。" s{n + 1}', rf' | [^.。<0-9] s{n + 1} | "。" s{n + 1}'
        rules.append(rf's{n} ::= [^.。<\n]* ({tag} | "." d{n}{stops})')
        rules.append(rf'd{n} ::= {tag} | "." d{n} | [0-9] s{n}{rest}')
    last, close = f"s{most - 1}", '"</solution>" end'
    tag, other = f'"<" ("/solution>" end | [^/] {last})', rf"[^.。<\n0-9] {last}"
    return [
        *rules,
        rf'{last} ::= [^.。<\n0-9]* ({tag} | "." {close} | "。" {close} | [0-9] i)',
        rf'i ::= [0-9]* ({tag} | {other} | "." f | "。" {close})',
        rf"f ::= {close} | [0-9] g",
        rf'g ::= [0-9]* ({tag} | {other} | "." {close} | "。" {close})',
    ]


def _answer_rules() -> list[str]:
    """Rules a0 ...: the rest of a line of so many words at most, then the closing tag."""
    rules = []
    for n in range(_ANSWER_WORDS):
        word = f' | " " a{n + 1}' if n + 1 < _ANSWER_WORDS else ""
        rules.append(rf'a{n} ::= [^ <\n]* ("<" ("/answer>" | [^/ \n] a{n}{word}){word})')
    return rules


@cache
def _grammar(format: Format) -> str:
    """The constraint, as udfs/engines/messages.py has it, of drafts of a format."""
    options = DRAFT_LETTERS if format == Format.MULTIPLE_CHOICE else ""
    root = f'"<question>" {_QUESTION.get(format, "q0")} "</question>\\n<solution>" s0'
    question = () if format in _QUESTION else _question_rules()
    written = " ".join(f'"\\n<{letter}>" {_LINE} "</{letter}>"' for letter in options)
    return _constraint(root, *question, *_solution_rules(_IN_SOLUTION[format]), options=options, written=written)


def _constraint(root: str, *rules: str, options: str, written: str = "") -> str:
    """The rules as a constraint; the answer that ends a text is one of the letters `options`, which are `written` before
    it, or a line."""
    answer = f'[{options}] "</answer>"' if options else r'([^ <\n] | "<" [^/ \n]) a0'
    words = () if options else _answer_rules()
    text = "\n".join((f"root ::= {root}", *rules, *words, f'end ::= {written} "\\n<answer>" {answer}'))
    return json.dumps({"grammar": text}, ensure_ascii=False)


def constraint() -> Column:
    """The constraint of a row's `format`."""
    return literal_map({format: _grammar(format) for format in Format})[F.col("format")]


@cache
def _of_known_question(options: str, max_tokens: int) -> str:
    sentences = max(1, min(_IN_REPLY, max_tokens // _TOKENS_A_SENTENCE))
    return _constraint('"<solution>" s0', *_solution_rules(sentences), options=options)


def constraint_of_known_question(max_tokens: int) -> Column:
    """The constraint of a solution and an answer to a row's question, which fit `max_tokens` in most cases."""
    lettered, open_ended = (F.lit(_of_known_question(options, max_tokens)) for options in (DRAFT_LETTERS, ""))
    return F.when(is_multiple_choice(), lettered).otherwise(open_ended)


def _between(tag: str) -> str:
    return rf"<{tag}>(.*?)</{tag}>\s*"


_OPTIONS = "".join(map(_between, DRAFT_LETTERS))
# Some models open the answer before they close the solution, and then give it again.
_STEPS = r"<solution>(.*?)(?:<answer>[^<]*)?</solution>\s*"
_SOLUTION = _STEPS + _between("answer")
_DRAFT = rf"(?s)\A\s*{_between('question')}{_STEPS}(?:{_OPTIONS})?{_between('answer')}"


def _group(form: str, number: int, control_tokens: tuple[str, ...]) -> Column:
    """What stands between the `number`-th tags of a form, trimmed, without what nobody sees (an escape of the prompt that
    was copied, too), `control_tokens` escaped; null where nothing does."""
    seen = F.regexp_replace(F.regexp_extract("text", form, number), INVISIBLE, "")
    found = F.btrim(seen, F.lit(_BLANK))
    return F.nullif(escaped(found, control_tokens), F.lit(""))


def _broken() -> Column:
    """The first character of `text` that is no text, else null."""
    found = F.regexp_extract("text", _INVALID, 0)
    return F.when(found != "", F.format_string("U+%04X", F.ascii(found)))


def with_fields(rows: DataFrame, control_tokens: tuple[str, ...]) -> DataFrame:
    """Rows with `text` (a draft) and `format` -> the same and question, choices (of multiple-choice rows), solution,
    answer, trimmed, null where there is none, and `broken`: the first character that is no text, else null.

    `control_tokens` are those of the target tokenizer, escaped in every field.
    """
    question, *fields = (_group(_DRAFT, 1 + n, control_tokens) for n in range(3 + len(DRAFT_LETTERS)))
    solution, *options, answer = fields
    return rows.withColumns(
        {
            "question": question,
            "choices": F.when(is_multiple_choice(), F.array_compact(F.array(*options))),
            "solution": solution,
            "answer": answer,
            "broken": _broken(),
        }
    )


def with_solution(rows: DataFrame, control_tokens: tuple[str, ...]) -> DataFrame:
    """As with_fields, of texts without a question: solution, answer and `broken`; what stands before them is left out."""
    solution, answer = (_group(f"(?s){_SOLUTION}", n, control_tokens) for n in (1, 2))
    return rows.withColumns({"solution": solution, "answer": answer, "broken": _broken()})
