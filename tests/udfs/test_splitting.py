import gzip
import json
import re
import time
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from udfs.splitting import Splitter

ROOT = Path(__file__).parents[2]
TOKENIZER = ROOT / ".cache/models/SmolLM2-135M-Instruct/tokenizer.json"
SEEDS = ROOT.parent / "shared/data/seeds"


def splitter(max_tokens: int) -> Splitter:
    """One word or punctuation run is one token."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return Splitter(tokenizer, max_tokens)


def words(count: int, word: str = "word") -> str:
    return " ".join(f"{word}{i}" for i in range(count))


def sentences(count: int) -> str:
    return " ".join(f"This is the sentence with the number {i}." for i in range(count))


CODE = "\n".join(f"line{i} = {i}" for i in range(40))
ROWS = "\n".join(f"| {i} | x{i} |" for i in range(40))
ALIGN = "\n".join(rf"a_{i} &= b_{i} + c_{i} \\" for i in range(30))
NESTED = "\n".join(rf"x_{i} \\" for i in range(60))
DOCUMENTS = {
    "prose": f"# A\n\n{sentences(30)}\n\n## B\n\n{sentences(3)}\n\n{sentences(20)}",
    "no markdown": sentences(60),
    "one long word run": words(400),
    "chinese": "# 群论\n\n" + "群是一种代数结构。" * 80,
    "code": f"# A\n\nText.\n\n```python\n{CODE}\n```\n\nMore.",
    "code in a list": "# A\n\n- one\n\n  ~~~py\n" + re.sub("^", "  ", CODE, flags=re.MULTILINE) + "\n  ~~~\n- two\n\n" + sentences(9),
    "code that opens an item": "- ```py\n" + re.sub("^", "  ", CODE, flags=re.MULTILINE) + "\n  ```\n- two",
    "fence inside a fence": f"# A\n\n````md\n```\n{CODE}\n```\n````\n\n{sentences(9)}",
    "unclosed fence": f"# A\n\n{sentences(9)}\n\n```\n{CODE}",
    "heading in code": f"# A\n\n{sentences(9)}\n\n```sh\n# not a heading\n{CODE}\n```",
    "table": f"# A\n\nText.\n\n| n | x |\n| --- | --- |\n{ROWS}\n\nMore.",
    "table without outer pipes": "n | x\n--- | ---\n" + ROWS.replace("| ", "", 1).replace("\n| ", "\n").replace(" |\n", "\n"),
    "environment": f"# A\n\nText.\n\n$$\n\\begin{{align*}}\n{ALIGN}\n\\end{{align*}}\n$$\n\nMore.",
    "environment in a paragraph": f"{sentences(3)}\n\\begin{{array}}{{cc}}\n{ALIGN}\n\\end{{array}}\n{sentences(3)}",
    "environment in an environment": "$$\n\\begin{aligned}\na &= b \\\\\n\\begin{array}{l}\n" + NESTED + "\n\\end{array} \\\\\nc &= d\n\\end{aligned}\n$$",
    "formula that looks like Markdown": f"# A\n\n{sentences(5)}\n\n$$\nx\n= y\n- z\n+ 1\n$$\n\n{sentences(9)}",
    "formulas": "# A\n\n" + "\n\n".join(f"$$\nx_{i} = {words(9)}\n$$" for i in range(20)),
    "list": "# A\n\n" + "\n".join(f"- item {i}: {sentences(1)}\n  1. inner {i}" for i in range(30)),
    "quote": "# A\n\n" + "\n>\n".join(f"> {sentences(2)}" for i in range(9)),
    "definitions of links": "\n".join(f"[a{i}]: http://x.org/{i}" for i in range(40)),
    "definitions around code": f"[a]: http://x.org\n\n```\n{CODE}\n```\n\n[b]: http://x.org\n\n{sentences(20)}",
    "header longer than a chunk": f"| {' | '.join('abcdefghijklmnopqrstuvwxyz' * 2)} |\n|{' --- |' * 52}\n{ROWS}",
    "html": "<div>\n" + "\n".join(f"<p>{words(6)}</p>" for _ in range(30)) + "\n</div>",
    "headings": "\n\n".join(f"{'#' * (1 + i % 4)} Heading {i}\n\n{sentences(i % 5)}" for i in range(30)) + "\n\n# Last",
    "setext": f"Title\n=====\n\n{sentences(20)}\n\nSub\n---\n\n{sentences(20)}",
}  # fmt: skip


def unrepeated(chunks: list[str], document: str) -> str:
    """The visible characters of chunks, without the lines at the borders that the splitter repeats."""
    rest, lines = [], []
    visible = re.sub(r"\s", "", document)
    for chunk in chunks:
        lines += chunk.split("\n")
    for line in lines:
        dense = re.sub(r"\s", "", line)
        if dense and visible.startswith(dense):
            visible = visible[len(dense) :]
            rest.append(dense)
    return visible


@pytest.mark.parametrize("max_tokens", [24, 64, 200])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_chunks_hold_the_limit_and_lose_nothing(name, max_tokens):
    document, split = DOCUMENTS[name], splitter(max_tokens)
    chunks = split.chunks(document)
    assert all(chunk.strip() and split.fits(chunk) for chunk in chunks)
    assert unrepeated(chunks, document) == ""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_chunks_of_a_text_that_fits_is_the_text(name):
    assert splitter(5000).chunks(DOCUMENTS[name]) == [DOCUMENTS[name]]


@pytest.mark.parametrize("name", [n for n in DOCUMENTS if n not in ("unclosed fence", "fence inside a fence")])
def test_chunks_open_and_close_what_they_cut(name):
    for chunk in splitter(64).chunks(DOCUMENTS[name]):
        assert len(re.findall(r"^[ -]*(?:```|~~~)", chunk, re.MULTILINE)) % 2 == 0
        assert chunk.count("$$") % 2 == 0
        begun, ended = (re.findall(rf"\\{word}{{([^}}]*)}}", chunk) for word in ("begin", "end"))
        assert sorted(begun) == sorted(ended)
        assert not chunk.endswith("\n# B") and not re.search(r"\n## B\s*$", chunk)


def test_chunks_begin_with_the_headings_above_them():
    chunks = splitter(40).chunks(f"# Part\n\n## One\n\n{sentences(9)}\n\n## Two\n\n{sentences(9)}")
    assert chunks[0].startswith("# Part\n\n## One\n\nThis")
    assert [chunk.split("\n\n")[0] for chunk in chunks] == [
        "# Part", "# Part\n## One", "# Part\n## One", "# Part\n## Two", "# Part\n## Two",
    ]  # fmt: skip


def test_chunks_of_code_repeat_the_fence_and_of_a_table_the_header():
    code = splitter(64).chunks(DOCUMENTS["code"])
    assert all("```python\nline" in chunk for chunk in code) and len(code) > 2
    assert code[1].startswith("# A\n\n```python\nline") and code[0].endswith("\n```")
    table = splitter(64).chunks(DOCUMENTS["table"])
    assert all("| n | x |\n| --- | --- |\n| " in chunk for chunk in table) and len(table) > 2
    item = splitter(64).chunks(DOCUMENTS["code that opens an item"])
    assert item[0].startswith("- ```py\n") and item[1].startswith("  ```py\n  line") and item[0].endswith("\n  ```")
    inner = splitter(64).chunks(DOCUMENTS["fence inside a fence"])
    assert [chunk.count("````") % 2 for chunk in inner] == [0] * len(inner)


def test_chunks_of_a_formula_end_at_its_rows_with_all_that_is_open_around_them():
    chunks = splitter(90).chunks(DOCUMENTS["environment in an environment"])
    assert chunks[1].startswith("$$\n\\begin{aligned}\n\\begin{array}{l}\nx_")
    assert chunks[0].endswith("\\\\\n\\end{array}\n\\end{aligned}\n$$")


@pytest.mark.skipif(not (SEEDS.exists() and TOKENIZER.exists()), reason=f"{SEEDS} or {TOKENIZER} is not here")
@pytest.mark.parametrize("name", ["openstax_physics1", "zh_oi_wiki"])
def test_chunks_of_real_documents_tear_no_formula_and_no_table(name):
    split, torn = Splitter(Tokenizer.from_file(str(TOKENIZER)), 512), []
    with gzip.open(SEEDS / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        documents = [json.loads(line)["text"] for line in lines][:60]
    for document in documents:
        if document.count("$$") % 2:
            continue
        for chunk in split.chunks(document):
            begun, ended = (re.findall(rf"\\{word}{{([^}}]*)}}", chunk) for word in ("begin", "end"))
            rows = re.findall(r"(?<!\|\n)^\|.*\|$(?!\n\|[ :|-]+\|$)", chunk, re.MULTILINE)
            if sorted(begun) != sorted(ended) or chunk.count("$$") % 2 or rows or not split.fits(chunk):
                torn.append(chunk)
    assert torn == []


def test_hostile_documents_take_time_that_grows_with_their_length():
    """They took minutes to hours where time grew with the square."""
    characters = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    characters.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    units = ("a", "光", "1", "> ", r"\[ ", r"\begin{a} ", "# x\n", "$$ ", "_ ", r"\\[", "- a\n", "`x ")
    split, began = Splitter(characters, 512), time.monotonic()
    for unit in units:
        document = unit * (50_000 // len(unit))
        chunks = split.chunks(document)
        assert all(map(split.fits, chunks)), unit
    assert time.monotonic() - began < 60
