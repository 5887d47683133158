"""Where tables lie: in a folder, at a URI, or in a catalog; what a conf says of it is read here, once.

The text decides: with `://` it is a URI, with a slash a folder, with a dot and no slash `catalog.schema` (or
`catalog.schema.table`) of a catalog, a word without dots a folder. Names of a catalog that are no plain words stand in
backquotes. Where a folder is there that dots without a slash may mean as well, nothing is guessed.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_URI, _FOLDER = r"[A-Za-z][\w+.-]*://\S+", r"(?!~)[^:]*/[^:]*|[^:./~`\s]+"
_NAME = re.compile(r"(\w+)|`((?:[^`]|``)+)`")
_NAMES = re.compile(rf"(?:{_NAME.pattern})(?:\.(?:{_NAME.pattern}))+")


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@dataclass(frozen=True)
class Location:
    """A folder (absolute) or URI in `path`, or, in a catalog, `names`: of the catalog, the schema and perhaps a table."""

    path: str = ""
    names: tuple[str, ...] = ()

    @property
    def is_folder(self) -> bool:
        """Whether it is neither a URI nor in a catalog."""
        return not self.names and "://" not in self.path

    @property
    def sql(self) -> str:
        """How SQL names it, as a table."""
        return ".".join(map(_quoted, self.names)) or f"delta.`{self.path}`"

    def table(self, name: str) -> "Location":
        """A table of this warehouse."""
        return Location(names=(*self.names, name)) if self.names else Location(f"{self.path}/{name}")

    def __str__(self) -> str:
        """As a conf says it, a folder with its full path."""
        return ".".join(n if re.fullmatch(r"\w+", n) else _quoted(n) for n in self.names) or self.path


def location(text: str, depths: Collection[int] = (2, 3)) -> Location:
    """What the text of a conf means; in a catalog it has as many names as `depths` allow.

    Raises ValueError with the way to write it for what is none, or would be both: a catalog's by its dots, though a
    folder of that name is there.
    """
    if "`" in text and "/" in text:
        raise ValueError(f"{text!r}: Delta makes no table in a folder with a ` in its path: choose another")
    if re.fullmatch(_URI, text):
        return Location(text.rstrip("/"))
    if re.fullmatch(_FOLDER, text):
        return Location(str(Path(text).resolve()))
    kind = "catalog.schema" if max(depths) == 2 else "catalog.schema.table"
    if not _NAMES.fullmatch(text) or len(found := _NAME.findall(text)) not in depths:
        raise ValueError(
            f"{text!r} is neither a folder (./name, /path/name), nor a URI (s3a://bucket/name), nor a catalog's {kind}"
            + _advice(text, depths)
        )
    if Path(text).exists():
        names = ".".join(_quoted(plain or quoted) for plain, quoted in found)
        raise ValueError(f"{text!r} is a folder that exists and a catalog's {kind}: write ./{text}, or '{names}'")
    return Location(names=tuple(plain or quoted.replace("``", "`") for plain, quoted in found))


def _advice(text: str, depths: Collection[int]) -> str:
    """How to say what was perhaps meant: names with a hyphen, or a folder with a dot."""
    parts = text.split(".")
    if len(parts) not in depths or not all(re.fullmatch(r"[\w-]+", part) for part in parts):
        return ""
    names = ".".join(part if re.fullmatch(r"\w+", part) else _quoted(part) for part in parts)
    return f"; names with a hyphen are quoted: '{names}'; a folder is ./{text}"
