"""Aimed and measured difficulty: what became of what was aimed at, and what trying harder bought."""

from collections import Counter
from statistics import fmean
from typing import Any

from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as Grid

from boostqa.agreement import rank_correlation
from boostqa.storage.warehouse import Warehouse
from boostqa.vocabulary import GRADES, HIGH_GRADES, ItemTable, Strategy

SLICES = ("round", "strategy", "discipline", "format", "lang", "generator")


def collect(warehouse: Warehouse) -> dict[str, Any] | None:
    """{"aims": what `transitions` makes of the drafts that are kept, for each strategy; "slices": `rates` by SLICES;
    "harder": what `bought` says of high_difficulty; "high_share": share of H4 and H5 in seeds and in kept drafts; "student":
    what `passes` says of table student, null without a student}; None where no draft was measured.
    """
    if not warehouse.exists("measured"):
        return None
    columns = (*SLICES, "attempt", "grade", "difficulty", "kept")
    sums = (
        warehouse.read("measured").groupBy(*columns).agg(F.count("*").alias("drafts"), F.sum("tokens").alias("tokens"))
    )
    rows = [r.asDict() for r in sums.collect()]
    if not rows:
        return None
    labels = warehouse.read("annotation").where(F.col("item_table") == ItemTable.SEED)
    seeds = Counter({r["difficulty"]: r["count"] for r in labels.groupBy("difficulty").count().collect()})
    kept = [r for r in rows if r["kept"]]
    drafts: Counter[str] = Counter()
    for r in kept:
        drafts[r["difficulty"]] += r["drafts"]
    hard = [r for r in rows if r["strategy"] == Strategy.HIGH_DIFFICULTY]
    return {
        "aims": {
            s: transitions([r for r in kept if r["strategy"] == s]) for s in sorted({r["strategy"] for r in kept})
        },
        "slices": {name: rates(kept, name) for name in SLICES},
        "harder": bought(hard) if hard else None,
        "high_share": {name: _high(counts) for name, counts in (("seeds", seeds), ("drafts", drafts))},
        "student": passes(_students(warehouse)),
    }


def _students(warehouse: Warehouse) -> list[dict[str, Any]]:
    columns = ("student", "strategy", "difficulty", "attempts", "passed")
    sums = warehouse.rows("student").groupBy(*columns).agg(F.count("*").alias("items"))
    return [r.asDict() for r in sums.collect()]


def passes(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """STUDENT rows summed to [student, strategy, difficulty, attempts, passed, items] -> {"model", "items", "levels": level
    -> [items, share of attempts that pass], "correlation": Spearman's of level and share of attempts that fail, with its 95%
    interval, null where that says nothing}; None without rows."""
    if not rows:
        return None
    levels, fails, by_level = [], [], dict[str, list[float]]()
    for r in rows:
        share = r["passed"] / r["attempts"]
        levels += [int(r["difficulty"][1])] * r["items"]
        fails += [1 - share] * r["items"]
        by_level.setdefault(r["difficulty"], []).extend([share] * r["items"])
    shown = {level: [len(shares), fmean(shares)] for level, shares in sorted(by_level.items())}
    models = ", ".join(sorted({r["student"] for r in rows}))
    return {"model": models, "items": len(levels), "levels": shown, "correlation": rank_correlation(levels, fails)}


def transitions(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """[grade, difficulty, drafts] -> grade aimed at -> difficulty measured -> drafts."""
    found: dict[str, dict[str, int]] = {}
    for r in rows:
        at = found.setdefault(r["grade"], {})
        at[r["difficulty"]] = at.get(r["difficulty"], 0) + r["drafts"]
    return found


def rates(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """[`name`, grade, difficulty, drafts] -> {value, drafts, below: those easier than their aim, high: those at H4 or H5}
    for each value of `name`."""
    found: dict[str, Counter[str]] = {}
    for r in rows:
        n, counts = r["drafts"], found.setdefault(r[name], Counter())
        below = n * (r["difficulty"] < r["grade"])
        counts.update({"drafts": n, "below": below, "high": n * (r["difficulty"] in HIGH_GRADES)})
    return [{"value": v, **{k: counts[k] for k in ("drafts", "below", "high")}} for v, counts in sorted(found.items())]


def bought(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """MEASURED rows of one strategy, summed to [attempt, grade, difficulty, kept, drafts, tokens] -> {requests, below:
    those whose first draft was easier than its aim, tries: further drafts that were measured, still_below: requests whose
    best draft is, reached: those that a further draft brought to their aim, tokens of these tries}.

    A request whose first draft had no label is not among them; tokens of tries that could not be measured are told in
    token_usage.
    """
    first, later = ([r for r in rows if (r["attempt"] > 0) == further] for further in (False, True))

    def below(some: list[dict[str, Any]]) -> int:
        return sum(r["drafts"] for r in some if r["difficulty"] < r["grade"])

    reached = sum(r["drafts"] for r in later if r["difficulty"] >= r["grade"])
    return {
        "requests": sum(r["drafts"] for r in first),
        "below": below(first),
        "tries": sum(r["drafts"] for r in later),
        "reached": reached,
        "still_below": below(first) - reached,
        "tokens": sum(r["tokens"] for r in later),
    }


def _high(counts: Counter[str]) -> float | None:
    total = sum(counts.values())
    return sum(counts[g] for g in HIGH_GRADES) / total if total else None


def figure(aims: dict[str, dict[str, dict[str, int]]]) -> str:
    """The transitions of each strategy ("aims" of `collect`) as SVG: a row is an aim, a column a measured level, colours are
    shares of the row, figures are drafts."""
    from matplotlib.figure import Figure

    from boostqa.report.svg import svg

    drawing = Figure(figsize=(4.5 * max(len(aims), 1), 4), layout="constrained")
    for place, (strategy, transitions) in enumerate(sorted(aims.items()), 1):
        axes, rows = drawing.add_subplot(1, len(aims), place), sorted(transitions)
        shares = [[transitions[a].get(g, 0) / sum(transitions[a].values()) for g in GRADES] for a in rows]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for y, aim in enumerate(rows):
            for x, level in enumerate(GRADES):
                ink = "white" if shares[y][x] > 0.5 else "black"
                axes.text(x, y, str(transitions[aim].get(level, "")), ha="center", va="center", color=ink)
        axes.set_xticks(range(len(GRADES)), GRADES)
        axes.set_yticks(range(len(rows)), rows)
        axes.set(title=strategy, xlabel="measured", ylabel="aimed at")
    return svg(drawing)


def sentences(facts: dict[str, Any]) -> list[str]:
    """What `collect` found beside the transitions: the share of high difficulty, the student, what trying harder bought."""
    shares = [f"{share:.0%} of the {name}" for name, share in facts["high_share"].items() if share is not None]
    told = [f"{' and '.join(HIGH_GRADES)}: {', '.join(shares)}"]
    if student := facts.get("student"):
        passed = ", ".join(f"{share:.0%} of {n} at {level}" for level, (n, share) in student["levels"].items())
        text = f"student {student['model']}: attempts that pass: {passed}"
        if student["correlation"]:
            r, low, high = student["correlation"]
            text += f"; rank correlation of level and failing {r:.2f} ({low:.2f} to {high:.2f})"
        told.append(text)
    harder = facts["harder"]
    if harder and harder["requests"]:
        text = f"high_difficulty: {harder['below']} of {harder['requests']} first drafts are below their aim"
        if harder["tries"]:
            text += (
                f"; after {harder['tries']} harder ones that could be measured ({harder['tokens']:,} tokens) "
                f"{harder['still_below']} are"
            )
        told.append(text)
    return told


def show(facts: dict[str, Any] | None, console: Console) -> None:
    """Print the transitions of each strategy, a line for each aim, and what trying harder bought. Nothing without drafts."""
    if facts is None:
        return
    grid = Grid("aimed at", "strategy", "drafts", *(f"measured {g}" for g in GRADES), "below aim")
    for column in grid.columns[2:]:
        column.justify = "right"
    for strategy, aims in facts["aims"].items():
        for grade, measured in sorted(aims.items()):
            n, below = sum(measured.values()), sum(k for g, k in measured.items() if g < grade)
            grid.add_row(grade, strategy, str(n), *(str(measured.get(g, "")) for g in GRADES), f"{below / n:.0%}")
    console.print(grid)
    for text in sentences(facts):
        console.print(text, highlight=False, markup=False)
