"""One formula in LaTeX or plain spelling -> a function that evaluates it, or Unclear: every character is understood.

The grammar is that of final answers: numbers, names of one letter, the four operations, powers, roots, fractions,
elementary functions, factorials. What two readers may read in two ways is Unclear as well: 1/2x, f(2), 2\\frac{1}{2},
\\sin(x)^2, x 2.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from udfs.answers import numbers
from udfs.answers.numbers import Number, Unclear, mp
from udfs.answers.tokens import GREEK, tokens

Evaluate = Callable[[Mapping[str, Number]], Number]

_MAX_DEPTH = 25

_FUNCTIONS = {
    name: getattr(mp, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "exp")
}
_FUNCTIONS |= {"ln": mp.log, "log": mp.log, "arcsin": mp.asin, "arccos": mp.acos, "arctan": mp.atan}
_MULTIPLIED = {"*", r"\cdot", r"\times", r"\ast"}
_APPLIED = set("fghFGHPφψ")  # names that mean a function before a bracket


@dataclass(frozen=True)
class Expression:
    """A formula: `evaluate` takes a value of each of `names`; `digits` are the fewest significant ones of its decimals,
    null where all is exact; `signs` says whether it has a ±, whose sign is the name "±"; `conventional` whether its
    value hangs on what a letter (e, i) or a logarithm without base stands for."""

    evaluate: Evaluate
    names: frozenset[str]
    digits: int | None
    signs: bool
    conventional: bool


class _Parser:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.at = self.depth = 0
        self.letters_read = 0
        self.names: set[str] = set()
        self.digits: int | None = None
        self.signs = self.conventional = False

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        text = self.peek()
        if not text or (expected and text != expected):
            raise Unclear(f"{expected or 'more'} is missing")
        self.at += 1
        return text

    def whole(self) -> Evaluate:
        value = self.sum()
        if self.peek():
            raise Unclear(f"{self.peek()} is not read")
        return value

    def sum(self) -> Evaluate:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise Unclear("too deep")
        value = self.signed()
        while (mark := self.peek()) in ("+", "-", r"\pm", r"\mp"):
            self.take()
            right = self.product()
            if mark in ("+", "-"):
                value = _arithmetic(operator.add if mark == "+" else operator.sub, value, right)
            else:
                value = _arithmetic(operator.add, value, self.either(mark, right))
        self.depth -= 1
        return value

    def either(self, mark: str, value: Evaluate) -> Evaluate:
        self.signs = True
        return lambda env: value(env) * env["±"] * (1 if mark == r"\pm" else -1)

    def signed(self) -> Evaluate:
        mark = self.peek()
        if mark not in ("+", "-", r"\pm", r"\mp"):
            return self.product()
        self.take()
        value = self.product()
        if mark in (r"\pm", r"\mp"):
            return self.either(mark, value)
        return value if mark == "+" else _negative(value)

    def product(self) -> Evaluate:
        letters = self.letters_read
        value, divided, lettered = self.power(), False, self.letters_read > letters
        while True:
            mark, letters = self.peek(), self.letters_read
            if mark in _MULTIPLIED or mark in ("/", r"\div"):
                self.take()
                negative = self.peek() == "-" and self.take() == "-"
                right = _negative(self.power()) if negative else self.power()
                if mark == r"\times" and lettered and self.letters_read > letters:
                    raise Unclear("a product that may be one of vectors")
                divided = mark in ("/", r"\div")
                value = _arithmetic(operator.truediv if divided else operator.mul, value, right)
            elif (self.kind() in ("word", "command") and mark not in (r"\pm", r"\mp")) or mark in ("(", "["):
                if divided or self.mixed_number():
                    raise Unclear("a product that reads in two ways")
                value = _arithmetic(operator.mul, value, self.power())
            else:
                return value
            lettered = lettered or self.letters_read > letters

    def mixed_number(self) -> bool:
        """Whether a fraction of two numbers follows a number: 2\\frac{1}{2} is 5/2 at school and 1 elsewhere."""
        ahead = [kind for kind, text in self.tokens[self.at + 1 : self.at + 3] if text != "{"]
        return self.peek() == r"\frac" and self.tokens[self.at - 1][0] == "number" and ahead[:1] == ["number"]

    def power(self) -> Evaluate:
        base = self.atom()
        while self.peek() == "!":
            self.take()
            base = _function(numbers.factorial, base)
        if self.peek() != "^":
            return base
        self.take()
        exponent = self.exponent()
        if self.peek() in ("^", "!", "_"):
            raise Unclear("a tower of powers")
        return _operation(numbers.power, base, exponent)

    def exponent(self) -> Evaluate:
        if self.peek() in ("{", "("):
            return self.group()
        negative = self.peek() in ("-", "+") and self.take() == "-"
        value = self.atom()
        return _negative(value) if negative else value

    def group(self) -> Evaluate:
        closing = {"(": ")", "{": "}", "[": "]"}[self.take()]
        value = self.sum()
        self.take(closing)
        return value

    def argument(self) -> Evaluate:
        """Of \\frac and \\sqrt: a group, or one digit, letter or command."""
        kind, text = self.kind(), self.peek()
        if kind == "number" and len(text) > 1 and text.isdigit():
            self.tokens[self.at] = (kind, text[1:])
            return _constant(Fraction(text[0]))
        return self.group() if text in ("{", "(") else self.atom()

    def atom(self) -> Evaluate:
        kind, text = self.kind(), self.take()
        if kind == "number":
            value, digits = numbers.number(text)
            self.digits = min(digits, self.digits or digits) if digits else self.digits
            return _constant(value)
        if text in ("(", "{", "["):
            self.at -= 1
            return self.group()
        if text == "|":
            inside = self.sum()
            self.take("|")
            return _function(abs, inside)
        return self.named(text.removeprefix("\\"), kind)

    def named(self, name: str, kind: str) -> Evaluate:
        if name == "frac" and kind == "command":
            return _arithmetic(operator.truediv, self.argument(), self.argument())
        if name == "sqrt":
            index = self.group() if self.peek() == "[" else _constant(Fraction(2))
            return _operation(numbers.root, self.argument(), index)
        if name in _FUNCTIONS:
            return self.function(name)
        if name == "pi":
            return _constant(+mp.pi)
        if kind == "word" and len(name) > 1:
            return self.letters(name)
        if kind == "command" and name not in GREEK:
            raise Unclear(f"\\{name} is not read")
        return self.letter(name)

    def letters(self, word: str) -> Evaluate:
        """Two small letters are a product; a run with capitals is one name, as the order of its letters may matter."""
        if not word.islower():
            return self.letter(word)
        if len(word) > 2 or word[0] == "d":
            raise Unclear(f"{word} is a word, or a differential")
        return _arithmetic(operator.mul, self.letter(word[0]), self.letter(word[1]))

    def letter(self, name: str) -> Evaluate:
        if self.peek() == "_":
            self.take()
            name += "_" + self.subscript()
        self.letters_read += 1
        if name in ("Delta", "delta", "Δ", "δ") and self.kind() in ("word", "command"):
            name += self.take()
        if name == "d" and self.kind() in ("word", "command"):
            raise Unclear("a differential")
        if self.peek() == "(" and (name in _APPLIED or not self.product_in_brackets()):
            raise Unclear("a function's value")
        if name in ("e", "i"):
            self.conventional = True
            return _constant(+mp.e if name == "e" else mp.mpc(0, 1))
        self.names.add(name)
        return lambda env: env[name]

    def subscript(self) -> str:
        if self.peek() != "{":
            return self.take()
        self.take()
        text = ""
        while self.peek() != "}":
            text += self.take()
        self.take()
        return text

    def product_in_brackets(self) -> bool:
        """Whether the bracket ahead holds a sum or product; a letter before one number or name is a function's value."""
        inside = [text for _, text in self.tokens[self.at + 1 :]]
        end = inside.index(")") if ")" in inside else 0
        return end > 1 and any(mark in inside[:end] for mark in ("+", "-"))

    def function(self, name: str) -> Evaluate:
        base: Evaluate | None = None
        if name == "log" and self.peek() == "_":
            self.take()
            base = self.argument()
        exponent = self.function_exponent() if self.peek() == "^" else None
        argument = self.of_function()
        if name == "log":
            self.conventional = self.conventional or base is None
            divisor = base or _constant(Fraction(73, 10))  # any one base for all logarithms without one
            value = _operation(
                lambda a, b: numbers.combine(operator.truediv, numbers.apply(mp.log, a), numbers.apply(mp.log, b)),
                argument,
                divisor,
            )
        else:
            value = _function(lambda a: numbers.apply(_FUNCTIONS[name], a), argument)
        return _operation(numbers.power, value, exponent) if exponent else value

    def function_exponent(self) -> Evaluate:
        """A whole number: \\sin^{-1} is the inverse to one and the reciprocal to the other."""
        self.take("^")
        braced = self.peek() == "{" and bool(self.take())
        if self.kind() != "number":
            raise Unclear("an inverse or a reciprocal")
        value = self.atom()
        if braced:
            self.take("}")
        return value

    def of_function(self) -> Evaluate:
        if self.peek() in ("(", "{", "["):
            value = self.group()
            if self.peek() in ("^", "!"):
                raise Unclear("a power of a function or of its argument")
            return value
        value = self.power()
        while (self.kind() == "word" and self.peek() not in _FUNCTIONS) or self.peek().removeprefix("\\") in GREEK | {
            "pi"
        }:
            value = _arithmetic(operator.mul, value, self.power())
        if self.peek() in ("/", "(", "["):
            raise Unclear("where the argument ends")
        return value


def _constant(value: Number) -> Evaluate:
    return lambda env: value


def _negative(value: Evaluate) -> Evaluate:
    return lambda env: -value(env)


def _operation(operation: Callable[[Any, Any], Any], a: Evaluate, b: Evaluate) -> Evaluate:
    return lambda env: operation(a(env), b(env))


def _arithmetic(operation: Callable[[Any, Any], Any], a: Evaluate, b: Evaluate) -> Evaluate:
    return lambda env: numbers.combine(operation, a(env), b(env))


def _function(function: Callable[[Any], Any], a: Evaluate) -> Evaluate:
    return lambda env: function(a(env))


def parse(text: str) -> Expression:
    """The formula that `text` (plain spelling) is as a whole. Raises Unclear."""
    parser = _Parser(text)
    evaluate = parser.whole()
    return Expression(evaluate, frozenset(parser.names), parser.digits, parser.signs, parser.conventional)
