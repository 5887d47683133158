"""What annotators are worth, from what they said of labelled items: figures, a table, confusion matrices. Plain Python."""

from collections import Counter
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table as Grid

from boostqa.agreement import calibration_error, rank_correlation

ALL = "all"


class Said(NamedTuple):
    """What one annotator said of one item; null where the item has no such label, or the annotator could not tell."""

    annotator: str
    benchmark: str
    lang: str
    discipline: str | None  # of the reference, four digits
    level: int | None  # of the reference: of the subject's name (H1..H5) or of the item
    label: str | None  # the annotator's discipline
    probability: float | None
    difficulty: float | None  # expected level, 1..5
    told: bool  # whether the label counts: it is one, and a sure one


def figures(said: list[Said]) -> list[dict[str, Any]]:
    """One row for each annotator, benchmark and language, and one for all items of an annotator (benchmark `all`).

    detailed, broad: share of all items with a discipline whose field is right, a missing label is wrong; majority_...: what
    one label for all would reach; coverage: share of items of which the annotator tells; broad_told: share right of these;
    ece: calibration error of the probability of detailed labels that are told; spearman (with low, high: 95%): of difficulty
    with the reference's level, over `levels` items. Null where there is nothing to measure.
    """
    groups: dict[tuple[str, str, str], list[Said]] = {}
    for one in said:
        groups.setdefault((one.annotator, one.benchmark, one.lang), []).append(one)
        groups.setdefault((one.annotator, ALL, ALL), []).append(one)
    order = sorted(groups, key=lambda g: (g[0], g[1] == ALL, g[1], g[2]))
    named = ("annotator", "benchmark", "lang")
    return [dict(zip(named, group, strict=True)) | _of_group(groups[group], group[1]) for group in order]


def _of_group(said: list[Said], benchmark: str) -> dict[str, Any]:
    known = [(s, s.discipline) for s in said if s.discipline is not None]
    told = [(s, reference) for s, reference in known if s.told]
    n = len(known)
    majority = Counter(reference for _, reference in known).most_common(1)
    majority_broad = Counter(reference[:2] for _, reference in known).most_common(1)
    sure = [(s.probability, s.label == reference) for s, reference in told if s.probability is not None]
    levels = [(s.difficulty, s.level) for s in said if s.level is not None and s.difficulty is not None]
    # Levels of different benchmarks are no common scale.
    ranks = rank_correlation([a for a, _ in levels], [b for _, b in levels]) if benchmark != ALL else None
    r, low, high = ranks or (None, None, None)
    return {
        "items": n,
        "detailed": _share(sum(s.label == reference for s, reference in known), n),
        "majority_detailed": _share(majority[0][1] if majority else 0, n),
        "broad": _share(sum((s.label or "")[:2] == reference[:2] for s, reference in known), n),
        "majority_broad": _share(majority_broad[0][1] if majority_broad else 0, n),
        "coverage": _share(len(told), n),
        "broad_told": _share(sum((s.label or "")[:2] == reference[:2] for s, reference in told), len(told)),
        "ece": calibration_error([p for p, _ in sure], [right for _, right in sure]),
        "spearman": r,
        "spearman_low": low,
        "spearman_high": high,
        "levels": len(levels),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def metrics(rows: list[dict[str, Any]], rates: dict[str, float | None]) -> dict[str, float]:
    """Figures as metrics of MLflow: scorecard.ANNOTATOR.BENCHMARK.LANG.FIGURE, and scorecard.ANNOTATOR.items_per_second."""
    found: dict[str, float] = {}
    for row in rows:
        about = ".".join(("scorecard", _plain(row["annotator"]), row["benchmark"], row["lang"]))
        found |= {f"{about}.{name}": float(v) for name, v in row.items() if isinstance(v, int | float)}
    rated = {f"scorecard.{_plain(name)}.items_per_second": rate for name, rate in rates.items()}
    return found | {name: rate for name, rate in rated.items() if rate is not None}


def _plain(name: str) -> str:
    """An annotator's name as MLflow takes it in the name of a metric."""
    return "".join(c if c.isalnum() or c in "-_ " else "_" for c in name.rstrip("/").rpartition("/")[2])


def show(rows: list[dict[str, Any]], rates: dict[str, float | None], console: Console) -> None:
    """Print the figures, a line each."""
    grid = Grid("annotator", "benchmark", "lang", "items", "detailed", "broad", "majority", "told", "right of told", "ECE",
                "Spearman of level (95%)", "levels")  # fmt: skip
    for column in grid.columns[3:]:
        column.justify = "right"
    for row in rows:
        interval = f"{row['spearman_low']:+.2f} to {row['spearman_high']:+.2f}" if row["spearman"] is not None else ""
        ranks = f"{row['spearman']:+.2f} ({interval})" if interval else ""
        numbers = (_two(row[name]) for name in ("detailed", "broad", "majority_broad", "coverage", "broad_told", "ece"))
        about = (row["annotator"], row["benchmark"], row["lang"], str(row["items"]))
        grid.add_row(*about, *numbers, ranks, str(row["levels"]), end_section=row["benchmark"] == ALL)
    console.print(grid)
    for name, rate in rates.items():
        speed = "all from the ledger" if rate is None else f"{rate:,.1f} items a second"
        console.print(f"{name}: {speed}", highlight=False, markup=False)


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def confusion(said: list[Said]) -> dict[str, Counter[tuple[str, str]]]:
    """Annotator -> (broad field of the reference, broad field said; "none" where nothing was) -> items."""
    found: dict[str, Counter[tuple[str, str]]] = {}
    for one in said:
        if one.discipline is not None:
            found.setdefault(one.annotator, Counter())[
                (one.discipline[:2], one.label[:2] if one.label else "none")
            ] += 1
    return found


def matrices(said: list[Said]) -> str:
    """The confusion matrices as SVG, one beside the other: a row is a broad field of the reference, a column what was said,
    shares of the row."""
    from matplotlib.figure import Figure

    from boostqa.report.svg import svg

    of = confusion(said)
    figure = Figure(figsize=(6 * max(len(of), 1), 5.5), layout="constrained")
    for place, (name, pairs) in enumerate(sorted(of.items()), 1):
        rows = sorted({a for a, _ in pairs})
        columns = sorted({*rows, *(b for _, b in pairs)})
        sums = {a: sum(n for (row, _), n in pairs.items() if row == a) for a in rows}
        axes = figure.add_subplot(1, len(of), place)
        axes.imshow([[pairs[(a, b)] / sums[a] for b in columns] for a in rows], cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), [f"{a} ({sums[a]})" for a in rows])
        axes.set(title=name.rpartition("/")[2], xlabel="said", ylabel="broad field (items)")
        for (a, b), n in pairs.items():
            share, ink = n / sums[a], "white" if n > 0.5 * sums[a] else "black"
            at = (columns.index(b), rows.index(a))
            axes.text(*at, f"{share:.2f}", ha="center", va="center", fontsize=7, color=ink)
    return svg(figure)
