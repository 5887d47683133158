"""README.md of an export: a dataset card in which every figure comes from the tables."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from huggingface_hub import DatasetCardData
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.reasons import by_weight, why_nothing
from boostqa.taxonomy import english_names
from boostqa.vocabulary import GRADES, Outcome
from udfs.files import write_text

CARD = "README.md"
READABLE = ("parquet", "jsonl")  # formats that a dataset hub loads
LISTED = 20  # attributions printed per licence; the column `attribution` holds them all
LEVELS = ("primary", "lower secondary", "upper secondary", "undergraduate", "graduate or competition")
METHOD = (
    "The order of the steps (seeds from several sources, annotation of discipline and difficulty, probing of the model "
    "in mid-training, STEM-focused multi-grade and high-difficulty synthesis, answer refinement by a second model) "
    'follows Zhang et al., "Large-Scale Diverse Synthesis for Mid-Training" (Findings of ACL 2026, arXiv 2508.01326); '
    "prompts, taxonomy, budgets, cleaning, decontamination and gates are this project's own design."
)
LIMITS = (
    "- What several models believe together and wrongly is in it: answers were compared by rule and by models.",
    "- Levels of difficulty are one model's measure; those that were asked for and those that were measured differ.",
    "- Only benchmarks that the conf names were looked for: verbatim, and with other numbers, names or single words.",
    "- Free paraphrases and translations of benchmark items are not found.",
    "- Licences are those that the sources name; this is no legal advice.",
)
SHADES, BAR = "░▒▓█", 20  # of a cell by its quarter of the fullest one; characters of the longest bar
AGAIN = (
    "`manifest.json` names the Delta versions, the code revision, conf, models, tokenizer and the sha256 of each file. "
    "`boostqa verify FOLDER` holds the files against it; `boostqa reproduce` makes the same bytes again from those versions."
)


def _table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; numbers get thousands separators, a cell stays on its line."""

    def cell(value: object) -> str:
        text = f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
        return " ".join(text.split()).replace("|", "\\|")

    lines = [list(header), *([cell(v) for v in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _conf(manifest: dict[str, Any], key: str, otherwise: Any = None) -> Any:
    return manifest.get("conf", {}).get(f"mix.{key}", otherwise)


def machine_made(manifest: dict[str, Any]) -> str:
    """What of an export is made by machines."""
    components = _conf(manifest, "components", [])
    others = [c["name"] for c in components if c["of"] != "synthesized"]
    own = [c["name"] for c in components if c["of"] == "synthesized"]
    if others and not own:
        return "All of it stands in its sources as it is here."
    told = "Every question, solution and answer" + (f" of the component {', '.join(own)}" if others else "")
    told += " is machine-made from the sources below and was checked by machines, not by people: expect errors."
    return told + (f" Not made, but as the sources have it: {', '.join(others)}." if others else "")


def _licence(manifest: dict[str, Any]) -> str | None:
    """The licence that the conf gives the export."""
    return _conf(manifest, "licence")


def _front(manifest: dict[str, Any]) -> str:
    """The card's metadata, as dataset hubs read it."""
    by = manifest["tokens_by"]
    files = sorted({f"{s['format']}/*" for s in manifest["shards"] if s["format"] in READABLE}, reverse=True)[:1]
    licences = sorted({name.lower() for joined in by["licence"] for name in joined.split(" AND ")})
    about: dict[str, Any] = {"pretty_name": "BoostQA export", "tags": ["synthetic", "mid-training"]}
    if by["lang"]:  # of an empty export a hub would read lists that hold nothing
        own = _licence(manifest)
        about |= {
            "license": own.lower() if own else licences,
            "language": list(by["lang"]),
            "size_categories": [_size(manifest["rows"])],
        }
        about["task_categories"] = ["question-answering", "text-generation"]
    if files:  # parquet where there is one
        about["configs"] = [{"config_name": "default", "data_files": files[0]}]
    return f"---\n{DatasetCardData(**about).to_yaml()}\n---"


def _size(rows: int) -> str:
    """The hub's word for so many rows."""
    ends = (
        ("1K", 10**3),
        ("10K", 10**4),
        ("100K", 10**5),
        ("1M", 10**6),
        ("10M", 10**7),
        ("100M", 10**8),
        ("1B", 10**9),
    )
    below = next((n for n, (_, end) in enumerate(ends) if rows < end), None)
    if below is None:
        return "n>1B"
    return f"{ends[below - 1][0]}<n<{ends[below][0]}" if below else "n<1K"


def _share(tokens: Counter[str], names: dict[str, str]) -> list[tuple[object, ...]]:
    """Rows with the share as a number and as a bar."""
    total, most = tokens.total(), max(tokens.values(), default=0)
    return [
        (code, names.get(code, ""), n, f"{n / total:.1%}", "█" * -(-BAR * n // most))
        for code, n in sorted(tokens.items())
    ]


def _heat_map(cells: dict[str, int]) -> str:
    """Tokens by discipline (rows) and difficulty, each cell shaded by its share of the fullest one."""
    most = max(cells.values(), default=0)

    def shaded(code: str, grade: str) -> str:
        n = cells.get(f"{code} {grade}", 0)
        return f"{SHADES[-(-len(SHADES) * n // most) - 1]} {n:,}" if n else ""

    codes = sorted({cell.split()[0] for cell in cells})
    names = english_names()
    return _table(
        ("discipline", *GRADES), ((f"{c} {names.get(c, '')}", *(shaded(c, g) for g in GRADES)) for c in codes)
    )


def _outcome(word: str) -> str:
    return word if word == Outcome.HOLDS else f"**{word}**"


def _checks(manifest: dict[str, Any]) -> list[str]:
    """What the checks made of known items, and the benchmark items that they found; nothing of a line without controls."""
    parts = []
    if worth := manifest.get("controls"):
        rows = [
            (
                r["round"],
                r["check"],
                r["defect"],
                r["items"],
                r["passed"],
                f"{r['wilson_low']:.0%} to {r['wilson_high']:.0%}",
            )
            for r in worth
        ]
        head = ("round", "check", "known items", "of them", "pass", "95% interval")
        parts += ["## Controls: known items, good (none) and spoilt, that went the same way", _table(head, rows)]
    leaks = [(r["benchmark"], r["kind"], r["items"]) for r in manifest.get("contamination", [])]
    none = "No item resembled one of the benchmarks that the conf names."
    return [
        *parts,
        "## Decontamination: items left out",
        _table(("benchmark", "kind", "items"), leaks) if leaks else none,
    ]


def _repeated(manifest: dict[str, Any]) -> str:
    different = manifest.get("documents", manifest["rows"])
    return f" ({different:,} different ones, some of them several times)" if different < manifest["rows"] else ""


def _components(manifest: dict[str, Any]) -> list[str]:
    """What the mix is made of; nothing of an export of an earlier release."""
    rows = [
        (name, of["asked"], manifest["tokens_by"]["component"].get(name, 0), of["there"], sum(of["short"].values()))
        for name, of in manifest.get("components", {}).items()
    ]
    head = ("component", "tokens asked for", "exported", "there, each document once", "short in cells")
    return ["## Components", _table(head, rows)] if rows else []


def card(mix: DataFrame, clean: DataFrame, manifest: dict[str, Any], verdicts: list[dict[str, Any]]) -> str:
    """The card's text from MIX and CLEAN rows, the manifest and the VERDICT rows of the gate that let the mix pass."""
    verdicts = sorted(verdicts, key=lambda v: (v["round"], v["table"], v["gate"]))  # whatever order they were read in
    exported = mix.select(F.explode("draft_ids").alias("draft_id"))
    made = clean.join(exported, on="draft_id", how="left_semi").groupBy("generator", "grade", "difficulty")
    generators: Counter[str] = Counter()
    aims: Counter[tuple[str, str]] = Counter()
    for r in made.agg(F.count("*").alias("rows")).collect():
        generators[r["generator"]] += r["rows"]
        aims[r["grade"], r["difficulty"]] += r["rows"]
    owed = mix.groupBy("licence").agg(F.sort_array(F.collect_set("attribution")).alias("attributions")).collect()
    attributions = {r["licence"]: r["attributions"] for r in owed}
    by_discipline: Counter[str] = Counter()
    by_difficulty: Counter[str] = Counter()
    for cell, tokens in manifest["tokens_by"]["cell"].items():
        discipline, difficulty = cell.split()
        by_discipline[discipline] += tokens
        by_difficulty[difficulty] += tokens
    licences = [
        (name, tokens, "; ".join(attributions[name][:LISTED]) + (" ..." if len(attributions[name]) > LISTED else ""))
        for name, tokens in manifest["tokens_by"]["licence"].items()
    ]
    terms = ", ".join(f"{model} {name}" for model, name in _conf(manifest, "output_terms", {}).items())
    failed = sum(not v["success"] for v in verdicts)
    gates = by_weight([v for v in verdicts if not v["success"] or not v["gate"].startswith("expect_")])
    files = ("file", "rows", "tokens", "bytes")
    head = ("code", "name", "tokens", "share", "")
    parts = [
        _front(manifest),
        "# BoostQA export",
        *([] if manifest["rows"] else [f"**Nothing is exported.** {why_nothing(verdicts)}"]),
        f"{manifest['rows']:,} documents{_repeated(manifest)}, {manifest['tokens']:,} tokens. **{machine_made(manifest)}**",
        METHOD,
        "## Generators",
        _table(("model", "items"), sorted(generators.items())),
        "## Disciplines (ISCED-F 2013)",
        _table(head, _share(by_discipline, english_names())),
        "## Difficulty, as measured by the annotator",
        _table(head, _share(by_difficulty, dict(zip(GRADES, LEVELS, strict=True)))),
        "Tokens by discipline and difficulty:",
        _heat_map(manifest["tokens_by"]["cell"]),
        "Items by the level that was asked for and the one that was measured:",
        _table(("asked for", *GRADES), ((grade, *(aims[grade, level] for level in GRADES)) for grade in GRADES)),
        *_components(manifest),
        "## Rounds",
        _table(("round", "tokens"), manifest["tokens_by"]["round"].items()),
        "## Sources and languages",
        _table(("source", "tokens"), manifest["tokens_by"]["source"].items()),
        _table(("language", "tokens"), manifest["tokens_by"]["lang"].items()),
        "## Licences",
        f"This export: {_licence(manifest) or 'not named by the conf; that of each item follows from its seed'}. Of the seeds:",
        _table(("licence", "tokens", "attribution"), licences),
        *([f"Terms of what the models write: {terms}."] if terms else []),
        *_checks(manifest),
        f"## Gates: {len(verdicts) - failed} of {len(verdicts)} hold, those over whole tables:",
        _table(
            ("round", "table", "gate", "outcome", "observed", "expected"),
            ((v["round"], v["table"], v["gate"], _outcome(v["outcome"]), v["observed"], v["expected"]) for v in gates),
        ),
        "## Limits",
        "\n".join(LIMITS),
        "## Files",
        _table(files, ([shard[column] for column in files] for shard in manifest["shards"])),
        AGAIN,
    ]
    return "\n\n".join(parts) + "\n"


def write(folder: str, text: str) -> str:
    """Write the card into the export's folder; returns its sha256."""
    write_text(f"{folder}/{CARD}", text)
    return hashlib.sha256(text.encode()).hexdigest()
