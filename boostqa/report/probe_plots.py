"""What the probe found, as figures: a heat map for each checkpoint and the trend of the series, as SVG texts."""

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.figure import Figure

from boostqa.report.svg import svg
from boostqa.taxonomy import disciplines
from boostqa.vocabulary import GRADES, ProbeMethod

Row = dict[str, Any]
MOST_ROWS = 40  # of a heat map: with more disciplines its rows are broad fields
MEASURES = {
    ProbeMethod.LETTER: "accuracy by option letter",
    ProbeMethod.CLOZE: "accuracy by option text (cloze)",
    ProbeMethod.REFERENCE: "bits per byte of the answer",
}


def figures(rows: Sequence[Row], checkpoints: Sequence[str]) -> dict[str, str]:
    """PROBE rows and the checkpoints in order of training -> file name -> SVG.

    `probe/heat_map_N.svg` of the N-th checkpoint, a panel for each method; `probe/trend.svg` where two or more checkpoints
    tell how many tokens they have seen.
    """
    by_checkpoint = {name: [r for r in rows if r["checkpoint"] == name] for name in checkpoints}
    found = {
        f"probe/heat_map_{number}.svg": _heat_map(name, own)
        for number, (name, own) in enumerate(by_checkpoint.items(), 1)
        if own
    }
    if drawn := trend(rows):
        found["probe/trend.svg"] = drawn
    return found


def trend(rows: Sequence[Row]) -> str:
    """Accuracy over tokens seen as SVG; "" where fewer than two checkpoints tell how many they have seen."""
    series = [r for r in rows if r["tokens_seen"] is not None and r["accuracy"] is not None]
    return _trend(series) if len({r["tokens_seen"] for r in series}) > 1 else ""


def _methods(rows: Iterable[Row]) -> list[str]:
    present = {r["method"] for r in rows}
    return [m for m in ProbeMethod if m in present]


def pooled(rows: Iterable[Row]) -> tuple[float, int]:
    """(accuracy, or bits per byte where there is none, of all items of the rows; items)."""
    cells = [(r["bits_per_byte"] if r["accuracy"] is None else r["accuracy"], r["items"]) for r in rows]
    items = sum(n for _, n in cells)
    return sum(value * n for value, n in cells) / items, items


def _heat_map(checkpoint: str, rows: list[Row]) -> str:
    """Disciplines (broad fields where there are too many) x difficulty; in a cell the value and its items."""
    digits = 4 if len({r["discipline"] for r in rows}) <= MOST_ROWS else 2
    fields = sorted({r["discipline"][:digits] for r in rows})
    methods, names = _methods(rows), {d.code: f"{d.code} {d.name['en']}" for d in disciplines()}
    figure = Figure(figsize=(3 + 4.5 * len(methods), 2 + 0.3 * len(fields)), layout="constrained")
    figure.suptitle(f"{checkpoint}\n{'discipline' if digits == 4 else 'broad field'} (ISCED-F 2013) x difficulty")
    for number, method in enumerate(methods, 1):
        cells: dict[tuple[int, int], list[Row]] = {}
        for r in rows:
            if r["method"] == method:
                place = fields.index(r["discipline"][:digits]), GRADES.index(r["difficulty"])
                cells.setdefault(place, []).append(r)
        found = {place: pooled(own) for place, own in cells.items()}
        grid = [[found.get((y, x), (float("nan"), 0))[0] for x in range(len(GRADES))] for y in range(len(fields))]
        axes = figure.add_subplot(1, len(methods), number)
        colours, most = ("viridis_r", None) if method == ProbeMethod.REFERENCE else ("viridis", 1)
        image = axes.imshow(grid, aspect="auto", cmap=colours, vmin=0, vmax=most)
        for (y, x), (value, items) in found.items():
            axes.text(x, y, f"{value:.2f} ({items})", ha="center", va="center", fontsize=7, bbox=_LABEL)
        axes.set_xticks(range(len(GRADES)), GRADES)
        axes.set_yticks(range(len(fields)), [names.get(f, f)[:40] for f in fields] if number == 1 else [])
        axes.set_title(MEASURES[ProbeMethod(method)], fontsize=9)
        figure.colorbar(image, ax=axes)
    return svg(figure)


_LABEL = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "boxstyle": "round,pad=0.15"}


def _trend(rows: list[Row]) -> str:
    """Accuracy over tokens seen, a line for each broad field, a panel for each method, chance dotted."""
    methods, fields = _methods(rows), sorted({r["discipline"][:2] for r in rows})
    figure = Figure(figsize=(1.5 + 5 * len(methods), 4.5), layout="constrained")
    figure.suptitle("accuracy over tokens seen, by broad field (ISCED-F 2013); chance dotted")
    for number, method in enumerate(methods, 1):
        axes = figure.add_subplot(1, len(methods), number)
        own = [r for r in rows if r["method"] == method]
        for colour, field in enumerate(fields):
            points: dict[int, list[Row]] = {}
            for r in own:
                if r["discipline"][:2] == field:
                    points.setdefault(r["tokens_seen"], []).append(r)
            line = [(seen, *pooled(at)) for seen, at in sorted(points.items())]
            if line:
                seen, accuracy, items = zip(*line, strict=True)
                axes.plot(seen, accuracy, marker="o", color=f"C{colour}", label=f"{field} ({max(items)} items)")
        chance = sum(r["chance"] * r["items"] for r in own) / sum(r["items"] for r in own)
        axes.axhline(chance, linestyle=":", color="grey")
        axes.set(xscale="log", ylim=(0, 1), xlabel="tokens seen", title=MEASURES[ProbeMethod(method)])
        axes.legend(fontsize=7)
    return svg(figure)
