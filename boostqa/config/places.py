"""Where each key of a conf was said: in a line of its file, or by --set."""

import math
import re
from dataclasses import dataclass, field

import yaml

Key = tuple[int | str, ...]
_INTEGER = r"[-+]?(0|[1-9]\d*)"
_DECIMAL = r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?"


def _odd_number(node: yaml.ScalarNode) -> str | None:
    """What is wrong with a number that YAML 1.1 reads as another one than people do (octal, minutes and seconds), that it
    spells in a way of its own, or that is no finite one; None for other values."""
    text = node.value
    if node.tag == "tag:yaml.org,2002:int" and not re.fullmatch(_INTEGER, text):
        return f"{text} is no plain number, YAML takes it for {yaml.safe_load(text)}: write decimal digits, or a text in quotes"
    if node.tag == "tag:yaml.org,2002:float" and not (re.fullmatch(_DECIMAL, text) and math.isfinite(float(text))):
        return f"{text} is no plain finite number: write decimal digits such as 5400 or 0.5, or a text in quotes"
    return None


def _place(node: yaml.Node, file: str) -> str:
    return f"{file}:{node.start_mark.line + 1}" if file else "--set"


@dataclass
class Places:
    """The places of the keys of one conf, and what is wrong with how they are written."""

    file: str
    said: dict[Key, str] = field(default_factory=dict)
    wrong: list[tuple[Key, str]] = field(default_factory=list)  # a key said twice, an odd number: `place: key: what`

    @classmethod
    def of_file(cls, file: str, text: str) -> "Places":
        """Those of a text that is valid YAML."""
        places = cls(file)
        places._walk(yaml.compose(text, Loader=yaml.SafeLoader), (), file)
        return places

    def override(self, key: Key, text: str) -> None:
        """`key` is said by --set from now on, with all below it: `text` is valid YAML."""
        self._say(key, "--set")
        self._walk(yaml.compose(text, Loader=yaml.SafeLoader), key, "")

    def _walk(self, node: yaml.Node | None, parents: Key, file: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                key = (*parents, name.value)
                first = self.said.get(key)
                self._say(key, _place(name, file))
                if first is not None:
                    self._mistake(key, f"is said twice, first at {first}")
                self._walk(value, key, file)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._say((*parents, number), _place(value, file))
                self._walk(value, (*parents, number), file)
        elif isinstance(node, yaml.ScalarNode) and (what := _odd_number(node)):
            self._mistake(parents, what)

    def _mistake(self, key: Key, what: str) -> None:
        self.wrong.append((key, f"{self.of(key)}: {what}"))

    def _say(self, key: Key, place: str) -> None:
        """The last one holds, and what was said below an earlier one is gone."""
        self.said = {k: earlier for k, earlier in self.said.items() if k[: len(key)] != key} | {key: place}

    def of(self, key: Key) -> str:
        """`file:line: key` by the deepest part of the key that was said; the file alone where none of it was."""
        said = (self.said[key[:length]] for length in range(len(key), 0, -1) if key[:length] in self.said)
        return ": ".join(p for p in (next(said, self.file), ".".join(map(str, key))) if p)
