"""Documents -> chunks within a token limit, along their Markdown: blocks stay whole where they fit.

A chunk begins with the headings above it. A table that does not fit is split between rows and repeats its header row,
code between lines and repeats its fence, a LaTeX environment between rows and repeats its `\\begin` and `\\end`, lists
between items, all other text between sentences. Nothing of a document is lost but blank lines at the borders. Knows
neither pandas nor Spark; does not look into HTML.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from semantic_text_splitter import MarkdownSplitter
from tokenizers import Tokenizer

from udfs.formula_spans import DELIMITERS, formula_spans

_CONTAINERS = ("bullet_list", "ordered_list", "list_item", "blockquote")
# What opens and closes a formula or an environment (with its arguments), and the ends of rows.
_FORMULA_PART = re.compile(
    r"(?P<begin>\\begin\{(?P<name>[A-Za-z]+\*?)\}(?:\{[^{}]*\}|\[[^\[\]]*\])*)|(?P<end>\\end\{)|\\\\\s*(?:\[[^\]]{0,40}\]\s*)?"
)
# A stretch of text is given to the splitter of sentences, whose time grows with the square of its length, from one of
# these ends to another.
_LONGEST_STRETCH = 2000
_SENTENCE_END, _SPACE = re.compile(r"[。！？\n]|[.!?]\s"), re.compile(r"\s+")


@dataclass(frozen=True)
class _Border:
    """A place where a chunk may begin. `closing` then ends the chunk before it, `opening` begins the new one; `level`
    is that of a heading which begins here, 0 for all else."""

    start: int
    opening: str = ""
    closing: str = ""
    level: int = 0


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table").disable("inline")


class Splitter:
    """Splits documents into chunks of at most `max_tokens` tokens of `tokenizer`."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self.tokenizer, self.max_tokens = tokenizer, max_tokens
        self.longest_path = max_tokens // 4  # tokens of the headings that a chunk repeats
        self.longest_repeat = max_tokens // 2  # tokens of a header row, fence or environment that it repeats
        self.slack = max_tokens // 64  # of a text alone over its share of a document
        # Sentences: a piece is full from the first number on, and broken inside a sentence above the second only.
        self.piece = max(1, max_tokens // 8)
        pieces = (self.piece, max(1, max_tokens // 2))
        self.sentences = MarkdownSplitter.from_huggingface_tokenizer(tokenizer, pieces, trim=False)
        self.anywhere = MarkdownSplitter.from_huggingface_tokenizer(tokenizer, max_tokens)
        self.tokens = lru_cache(maxsize=4096)(self._tokens)  # of what is repeated: headings, header rows

    def _tokens(self, text: str) -> int:
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def chunks(self, text: str) -> list[str]:
        """The chunks in order, at least one; a text that fits is its only chunk, unchanged."""
        encoded = self.tokenizer.encode(text, add_special_tokens=False)
        if len(encoded) <= self.max_tokens:
            return [text]
        document = _Document(text, [start for start, _ in encoded.offsets], self)
        return list(document.chunks())

    def fits(self, text: str) -> bool:
        """Whether a text is at most `max_tokens` tokens long."""
        return self._tokens(text) <= self.max_tokens


class _Document:
    """A document that does not fit into one chunk."""

    def __init__(self, text: str, token_starts: Sequence[int], splitter: Splitter) -> None:
        self.text, self.token_starts, self.splitter = text, token_starts, splitter
        self.lines = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
        self.lines[-1] = len(text)
        self.formulas = formula_spans(text)
        nodes = SyntaxTreeNode(_markdown().parse(text)).children
        headings = [
            node for node in nodes if node.type == "heading" and not any(map(self._in_formula, self._range(node)))
        ]
        levels = [int(node.tag[1:]) for node in headings]
        self.heading_starts = [self._range(node)[0] for node in headings]
        self.paths = list(self._paths(zip(levels, (node.children[0].content for node in headings), strict=True)))
        level_at = dict(zip(self.heading_starts, levels, strict=True))
        borders = {border.start: border for border in self._of_nodes(nodes, 0, len(text))}
        borders[0] = _Border(0)
        self.borders = [replace(borders[start], level=level_at.get(start, 0)) for start in sorted(borders)]

    def chunks(self) -> Iterator[str]:
        """Chunks filled up border by border, with what their borders say is repeated."""
        borders = [*self.borders, _Border(len(self.text))]
        first = 0
        while first < len(borders) - 1:
            last = first + 1
            room = self.splitter.max_tokens - self._repeated(borders[first])
            while last + 1 < len(borders) and self._between(borders[first], borders[last + 1]) <= room:
                last += 1
            chunk = self._chunk(borders[first], borders[last := self._best_end(borders, first, last)])
            # Sizes are those of tokens in the document: a chunk may have a few more where it stands alone.
            while last > first + 1 and not self.splitter.fits(chunk):
                chunk = self._chunk(borders[first], borders[last := self._best_end(borders, first, last - 1)])
            if self.splitter.fits(chunk):
                yield from [chunk] if chunk else []
            else:
                yield from self.splitter.anywhere.chunks(self.text[borders[first].start : borders[last].start])
            first = last

    def _chunk(self, first: _Border, last: _Border) -> str:
        body = self.text[first.start : last.start].strip("\n").rstrip()
        return self._path(first.start) + first.opening + body + last.closing if body.strip() else ""

    def _range(self, node: SyntaxTreeNode) -> tuple[int, int]:
        first, end = node.map or (0, len(self.lines) - 1)
        return self.lines[first], self.lines[end]

    def _size(self, start: int, end: int) -> int:
        return bisect_left(self.token_starts, end) - bisect_left(self.token_starts, start)

    def _between(self, first: _Border, last: _Border) -> int:
        return self._size(first.start, last.start) + self.splitter.tokens(last.closing)

    def _repeated(self, border: _Border) -> int:
        return self.splitter.tokens(self._path(border.start)) + self.splitter.tokens(border.opening)

    def _best_end(self, borders: list[_Border], first: int, full: int) -> int:
        """The highest heading in the second half of what fits, else all that fits; headings stay with what follows."""
        if full == len(borders) - 1:
            return full
        half = self.splitter.max_tokens // 2
        inside = range(first + 1, full + 1)
        headings = [i for i in inside if borders[i].level and self._between(borders[first], borders[i]) >= half]
        end = min(headings, key=lambda i: (borders[i].level, -i), default=full)
        heading = end
        while end - 1 > first and borders[end - 1].level:
            end -= 1
        return heading if end == first + 1 and borders[first].level else end  # nothing but headings

    def _path(self, start: int) -> str:
        """The headings above `start`."""
        i = bisect_right(self.heading_starts, start) - 1
        above, below = self.paths[i] if i >= 0 else ("", "")
        return above if i >= 0 and self.heading_starts[i] == start else below

    def _paths(self, headings: Iterable[tuple[int, str]]) -> Iterator[tuple[str, str]]:
        """For each heading (level, title) the headings above it, and those above what follows it."""
        chain: list[tuple[int, str]] = []
        for level, title in headings:
            above = [heading for heading in chain if heading[0] < level]
            chain = [*above, (level, f"{'#' * level} {' '.join(title.split())}\n")]
            yield self._joined(above), self._joined(chain)

    def _joined(self, chain: Sequence[tuple[int, str]]) -> str:
        """Headings a line each, the nearest ones where all would be too long."""
        lines = [line for _, line in chain]
        while lines and self.splitter.tokens("".join(lines)) > self.splitter.longest_path:
            lines.pop(0)
        return "".join([*lines, "\n"]) if lines else ""

    def _in_formula(self, place: int) -> bool:
        i = bisect_right(self.formulas, (place,)) - 1
        return i >= 0 and self.formulas[i][0] < place < self.formulas[i][1]

    def _fits(self, start: int, end: int, like: _Border = _Border(0)) -> bool:
        repeated = sum(map(self.splitter.tokens, (self._path(start), like.opening, like.closing)))
        return self._size(start, end) + repeated <= self.splitter.max_tokens - self.splitter.slack

    def _repeating(self, start: int, opening: str, closing: str) -> _Border:
        """A border that repeats `opening` and `closing`, unless they are too long to leave room for anything else."""
        tokens = self.splitter.tokens(opening) + self.splitter.tokens(closing)
        return _Border(start, opening, closing) if tokens <= self.splitter.longest_repeat else _Border(start)

    def _of_nodes(self, nodes: Sequence[SyntaxTreeNode], start: int, end: int) -> Iterator[_Border]:
        """Borders of blocks that follow each other from `start` to `end`; what stands before the first is its part.

        A border inside a formula is none: there the parser took a part of the formula for a list or a heading.
        """
        starts = [start, *(self._range(node)[0] for node in nodes[1:])]
        whole = [0, *(i for i, place in enumerate(starts) if i and not self._in_formula(place))]
        for i, following in pairwise([*whole, max(1, len(nodes))]):
            stop = starts[following] if following < len(nodes) else end
            yield _Border(starts[i])
            if self._fits(starts[i], stop):
                continue
            node = nodes[i] if following - i == 1 and nodes else None
            if node and node.type in _CONTAINERS:
                yield from self._of_nodes(node.children, starts[i], stop)
            elif node and node.type in ("table", "fence"):
                yield from self._of_framed(node, starts[i], stop)
            else:
                yield from self._of_text(starts[i], stop)

    def _of_framed(self, node: SyntaxTreeNode, start: int, end: int) -> Iterator[_Border]:
        """Borders of a table or code, and of the definitions of links around it, which are no blocks."""
        first, after = self._range(node)
        yield from (*self._of_text(start, first), _Border(first))
        yield from self._of_table(first, after) if node.type == "table" else self._of_fence(node, first, after)
        if self.text[after:end].strip():
            yield from (_Border(after), *self._of_text(after, end))

    def _of_rows(self, places: Sequence[int], opening: str, closing: str) -> Iterator[_Border]:
        """Borders before each row but the first; `places` are the starts of the rows and the end of the last one."""
        for number, (place, following) in enumerate(pairwise(places)):
            border = self._repeating(place, opening, closing)
            if number:
                yield border
            if not self._fits(place, following, border):
                yield from self._inside(place, following, border)

    def _line_starts(self, start: int, end: int) -> list[int]:
        return self.lines[bisect_left(self.lines, start) : bisect_left(self.lines, end)]

    def _of_table(self, start: int, end: int) -> Iterator[_Border]:
        rows = self._line_starts(start, end)
        header = self.text[start : rows[2]] if len(rows) > 2 else ""
        return self._of_rows([*rows[:1], *rows[3:], end], header, "")  # the first row stays with the header

    def _of_fence(self, node: SyntaxTreeNode, start: int, end: int) -> Iterator[_Border]:
        rows = self._line_starts(start, end)
        first = self.text[start : rows[1]] if len(rows) > 1 else ""
        before, mark, info = first.partition(node.markup)
        indent = " " * len(before)  # of a list item, whose marker is not repeated
        closed = [place for place in rows[1:] if self.text[place:end].strip(" \t\n>").strip(node.markup[0]) != ""]
        return self._of_rows([rows[0], *closed[1:], end], indent + mark + info, f"\n{indent}{mark}")

    def _of_text(self, start: int, end: int) -> Iterator[_Border]:
        """Borders around formulas and between sentences; a formula is split only where it is too long for a chunk."""
        low, high = bisect_left(self.formulas, (start,)), bisect_left(self.formulas, (end,))
        inside = [span for span in self.formulas[low:high] if span[1] <= end]
        places = [start, *(place for span in inside for place in span), end]
        for number, (left, right) in enumerate(pairwise(places)):
            if left > start and left < right:
                yield _Border(left)
            if number % 2 and not self._fits(left, right):
                yield from self._of_formula(left, right)
            elif not number % 2:
                yield from self._inside(left, right, _Border(left))

    def _of_formula(self, start: int, end: int) -> Iterator[_Border]:
        """Borders after the rows of an environment; those of an environment inside it only where a row is too long."""
        delimiter = self.text[start : start + 2]
        around = [(delimiter, DELIMITERS[delimiter])] if delimiter in DELIMITERS else []
        outside, rows = len(around), []
        for part in _FORMULA_PART.finditer(self.text, start, end):
            if part["begin"]:
                around.append((part["begin"], f"\\end{{{part['name']}}}"))
            elif part["end"]:
                around = around[:outside] + around[outside:-1]
            else:
                opening = "".join(f"{begin}\n" for begin, _ in around)
                closing = "".join(f"\n{close}" for _, close in reversed(around))
                rows.append((len(around), self._repeating(part.end(), opening, closing)))
        frame = _Border(start, delimiter, DELIMITERS[delimiter]) if outside else _Border(start)
        return self._of_depth(rows, frame, end, outside)

    def _of_depth(self, rows: list[tuple[int, _Border]], frame: _Border, end: int, depth: int) -> Iterator[_Border]:
        start = frame.start
        here = [border for at, border in rows if at == depth and start < border.start < end]
        deeper = any(at > depth for at, border in rows if start < border.start < end)
        like = here[0] if here else frame
        for left, right in pairwise([replace(like, start=start), *here, _Border(end)]):
            if left.start > start:
                yield left
            if self._fits(left.start, right.start, left):
                continue
            if deeper:
                yield from self._of_depth(rows, left, right.start, depth + 1)
            else:
                yield from self._inside(left.start, right.start, left)

    def _inside(self, start: int, end: int, like: _Border) -> Iterator[_Border]:
        """Borders between the sentences of what is too long for a chunk, with what `like` repeats."""
        while start < end:
            stop = min(start + _LONGEST_STRETCH, end)
            ends = list(_SENTENCE_END.finditer(self.text, start, stop)) or list(_SPACE.finditer(self.text, start, stop))
            if stop < end and ends:
                stop = ends[-1].end()
            if ends or stop - start < _LONGEST_STRETCH:
                pieces = self.splitter.sentences.chunk_indices(self.text[start:stop])
                places = [start + offset for offset, _ in pieces if offset]
            else:  # an unbroken run
                inside = slice(
                    bisect_right(self.token_starts, start), bisect_left(self.token_starts, stop), self.splitter.piece
                )
                places = sorted(set(self.token_starts[inside]))
            yield from (
                _Border(place, like.opening, like.closing) for place in [*places, *([stop] if stop < end else [])]
            )
            start = stop
