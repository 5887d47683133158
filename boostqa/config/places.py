"""Where each key of a conf was said: in a line of its file, or by --set."""

from dataclasses import dataclass, field

import yaml

Key = tuple[int | str, ...]


@dataclass
class Places:
    """The places of the keys of one conf, and the keys that its file says twice."""

    file: str
    said: dict[Key, str] = field(default_factory=dict)
    twice: list[tuple[Key, str]] = field(default_factory=list)  # the key, and what is wrong

    @classmethod
    def of_file(cls, file: str, text: str) -> "Places":
        """Those of a text that is valid YAML."""
        places = cls(file)
        if (node := yaml.compose(text, Loader=yaml.SafeLoader)) is not None:
            places._walk(node, ())
        return places

    def _walk(self, node: yaml.Node, parents: Key) -> None:
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                key = (*parents, name.value)
                if key in self.said:
                    self.twice.append((key, f"is said twice, first at {self.said[key]}"))
                self._say(key, f"{self.file}:{name.start_mark.line + 1}")
                self._walk(value, key)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._say((*parents, number), f"{self.file}:{value.start_mark.line + 1}")
                self._walk(value, (*parents, number))

    def _say(self, key: Key, place: str) -> None:
        """The last one holds, and what was said below an earlier one is gone."""
        self.said = {k: earlier for k, earlier in self.said.items() if k[: len(key)] != key} | {key: place}

    def override(self, key: Key) -> None:
        """`key` is said by --set from now on, with all below it."""
        self._say(key, "--set")

    def of(self, key: Key) -> str:
        """`file:line: key` by the deepest part of the key that was said; the file alone where none of it was."""
        said = (self.said[key[:length]] for length in range(len(key), 0, -1) if key[:length] in self.said)
        return ": ".join(p for p in (next(said, self.file), ".".join(map(str, key))) if p)
