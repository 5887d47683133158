"""A draft as text between tags: the grammar that makes a model write it, and how it is read.

    <question>...?</question>
    <A>...</A>                  (the options of a multiple-choice question, to D)
    <solution>...</solution>
    <answer>...</answer>

Text between tags leaves LaTeX as it is; in JSON a small model takes the escapes of LaTeX for the end of a field. A tag
that was opened asks to be closed; under headings a model that has finished its solution, and may not end before the
answer, goes on about anything. The grammar is deterministic (no text can be read in two ways), so that an engine finds the
allowed tokens in microseconds; and it ends what would not end: a question at its first question mark, a solution after so
many sentences and lines.
"""

import json
from functools import cache

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from boostqa.control_tokens import escaped
from boostqa.stages.wording import is_multiple_choice
from boostqa.vocabulary import DRAFT_LETTERS, Format

# Sentences and lines of a question, and of a solution: somewhat more than the prompt asks for (terms.yaml, length).
_IN_QUESTION = 5
_IN_SOLUTION = {
    Format.MULTIPLE_CHOICE: 6, Format.SHORT_ANSWER: 6, Format.EXPLANATION: 7, Format.CALCULATION: 9, Format.PROOF: 11,
    Format.PROGRAMMING: 40,
}  # fmt: skip
_LINE = r'([^<\n] | "<" [^/\n])+'  # without the beginning of a closing tag
# A claim is stated, everything else is asked; only a programming problem needs several lines for its question.
_QUESTION = {Format.PROOF: f'("Prove that " | "证明：") {_LINE}', Format.PROGRAMMING: r'([^<?？] | "<" [^/?？])+ [?？]'}
_INVALID = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]"  # with what stands for bytes that are no UTF-8
_BLANK = " \t\n"


def _question_rules() -> list[str]:
    """Rules q0 ...: one line that ends at its first question mark; p: behind a full stop."""
    rules = []
    for n in range(_IN_QUESTION):
        next_sentence = (f' | "。" q{n + 1}', f' | " " q{n + 1}') if n < _IN_QUESTION - 1 else ("", "")
        rules.append(rf'q{n} ::= [^.。?？<\n]* ([?？] | "<" [^/?？\n] q{n} | "." p{n}{next_sentence[0]})')
        rules.append(rf'p{n} ::= [?？] | "." p{n} | "<" [^/?？\n] q{n} | [^ .。?？<\n] q{n}{next_sentence[1]}')
    return rules


def _solution_rules(most: int) -> list[str]:
    """Rules s0 ...: at most `most` sentences and line ends, then the closing tag and `end`; d: behind a full stop."""
    rules = []
    for n in range(most):
        more = (rf' | "\n" s{n + 1} | "。" s{n + 1}', rf' | "\n" s{n + 1} | " " s{n + 1}') if n < most - 1 else ("", "")
        tag = f'"<" ("/solution>" end | [^/] s{n})'
        rules.append(rf's{n} ::= [^.。<\n]* ({tag} | "." d{n}{more[0]})')
        rules.append(rf'd{n} ::= {tag} | "." d{n} | [^ .。<\n] s{n}{more[1]}')
    return rules


@cache
def _grammar(format: Format) -> str:
    """The constraint, as udfs/engines/messages.py has it, of drafts of a format."""
    options = DRAFT_LETTERS if format == Format.MULTIPLE_CHOICE else ""
    parts = [f'"<question>" {_QUESTION.get(format, "q0")} "</question>\\n"']
    parts += [f'"<{letter}>" {_LINE} "</{letter}>\\n"' for letter in options]
    root = " ".join([*parts, '"<solution>" s0'])
    rules = [
        f"root ::= {root}",
        *(() if format in _QUESTION else _question_rules()),
        *_solution_rules(_IN_SOLUTION[format]),
    ]
    answer = f"[{options}]" if options else _LINE
    rules.append(f'end ::= "\\n<answer>" {answer} "</answer>"')
    return json.dumps({"grammar": "\n".join(rules)}, ensure_ascii=False)


def constraint() -> Column:
    """The constraint of a row's `format`."""
    return F.create_map(*(F.lit(x) for format in Format for x in (str(format), _grammar(format))))[F.col("format")]


def _between(tag: str) -> str:
    return rf"<{tag}>(.*?)</{tag}>\s*"


_OPTIONS = "".join(map(_between, DRAFT_LETTERS))
_FORM = rf"(?s)\A\s*{_between('question')}(?:{_OPTIONS})?{_between('solution')}{_between('answer')}"


def with_fields(rows: DataFrame, control_tokens: tuple[str, ...]) -> DataFrame:
    """Rows with `text` (a reply) and `format` -> the same and question, choices (of multiple-choice rows), solution,
    answer, trimmed, null where there is none, and `broken`: the first character that is no text, else null.

    `control_tokens` are those of the target tokenizer, escaped in every field.
    """
    broken = F.regexp_extract("text", _INVALID, 0)

    def group(number: int) -> Column:
        found = F.btrim(F.regexp_extract("text", _FORM, number), F.lit(_BLANK))
        return F.nullif(escaped(found, control_tokens), F.lit(""))

    options = F.array(*(group(number) for number in range(2, 2 + len(DRAFT_LETTERS))))
    return rows.withColumns(
        {
            "question": group(1),
            "choices": F.when(is_multiple_choice(), F.array_compact(options)),
            "solution": group(2 + len(DRAFT_LETTERS)),
            "answer": group(3 + len(DRAFT_LETTERS)),
            "broken": F.when(broken != "", F.format_string("U+%04X", F.ascii(broken))),
        }
    )
