"""Why an item is in the mix or not: every row of every table that tells of it, and one screen of them."""

from itertools import chain
from typing import Any

from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from boostqa.errors import ConfigError
from boostqa.report.budget import why
from boostqa.report.side_by_side import cost_of, cost_text, in_the_mix, items_of, kept, rows_with, story
from boostqa.report.visible import cut
from boostqa.storage.warehouse import Warehouse
from boostqa.vocabulary import Outcome

Row = dict[str, Any]
_SHOWN_CHARACTERS = 400  # of a long text on the screen
_SHOWN_GATES = 6  # that do not hold
_OF_DRAFT = {
    "clean": "draft_id", "refined": "draft_id", "contamination": "draft_id", "student": "draft_id", "rubric": "draft_id",
    "measured": "draft_id", "quarantine": "draft_id", "annotation": "item_id", "reject": "key",
}  # fmt: skip


def explain(warehouse: Warehouse, item: str) -> dict[str, Any]:
    """Every row that tells of a draft, by table: `completion` has every call made for it, `budget` and `probe` the cell that
    caused it, `verdict` the gates of its round; `told` is report/side_by_side.py's account of it. Of a seed or a record
    of another corpus, which may be documents of the mix themselves: `draft` is null, and their rows of `seed`, `corpus`, `annotation`
    and `mix`.

    Raises ConfigError when no id of one of these, or more than one, starts with `item`.
    """
    ids = (("draft", "draft_id"), ("seed", "seed_id"), ("corpus", "document_id"))
    named = [
        (table, r.asDict(recursive=True))
        for table, key in ids
        for r in warehouse.rows(table).where(F.col(key).startswith(item)).limit(2).collect()
    ]
    if len(named) != 1:
        raise ConfigError(f"{'more than one item' if named else 'no item'} has an id that starts with {item!r}")
    [(table, row)] = named
    return _of_draft(warehouse, row) if table == "draft" else _of_document(warehouse, table, row)


def _of_document(warehouse: Warehouse, table: str, row: Row) -> Row:
    document_id = row["seed_id" if table == "seed" else "document_id"]
    found = {
        name: rows_with(warehouse, name, key, [document_id])
        for name, key in (("annotation", "item_id"), ("mix", "document_id"))
    }
    return {"draft": None, "seed": [], "corpus": [], table: [row], **found}


def _of_draft(warehouse: Warehouse, draft: Row) -> Row:
    found: dict[str, Any] = {"draft": draft, "mix": list(in_the_mix(warehouse, [draft["draft_id"]]).values())}
    for table, column in _OF_DRAFT.items():
        found[table] = rows_with(warehouse, table, column, [draft["draft_id"]])
    found["plan"] = rows_with(warehouse, "plan", "plan_id", [draft["plan_id"]])
    found["seed"] = rows_with(warehouse, "seed", "seed_id", [draft["seed_id"]])
    paid = (
        row["request_ids"] or []
        for name in ("annotation", "refined", "student", "rubric", "reject")
        for row in found[name]
    )
    calls = rows_with(warehouse, "completion", "request_id", {draft["request_id"], *chain(*paid)})
    found["completion"] = sorted(calls, key=lambda c: (c["request_id"] != draft["request_id"], c["finished_at"]))
    found["cost"] = cost_of((c["request_id"] for c in calls), {c["request_id"]: c for c in calls})
    for table in ("budget", "probe"):
        rows = rows_with(warehouse, table, "discipline", [draft["discipline"]])
        found[table] = [r for r in rows if (r["round"], r["difficulty"]) == (draft["round"], draft["grade"])]
    found["verdict"] = rows_with(warehouse, "verdict", "round", [draft["round"]])
    found["told"] = next(iter(items_of(warehouse, found["plan"])), None)
    return found


def _caused(found: Row) -> str | None:
    """The cell of the budget that asked for the item, and what the probe saw of it."""
    if not found["budget"]:
        return None
    cell = found["budget"][0]
    seen = [
        f"{p['checkpoint'].rpartition('/')[2]} {p['method']} "
        + (f"{p['accuracy']:.2f}" if p["accuracy"] is not None else f"{p['bits_per_byte']:.2f} bits/byte")
        + f" on {p['items']} items"
        for p in found["probe"]
    ]
    _, accuracy, where = why([cell], cell)[0]
    return (
        f"cell {cell['discipline']}/{cell['difficulty']} of round {cell['round']}: accuracy {accuracy} ({where}), deficit "
        f"{cell['deficit']:.2f}, weight {cell['weight']:.3f}, {cell['tokens']:,} tokens, {cell['requests']:,} requests; probed: "
        + ("; ".join(seen) or "no item of the cell")
    )


def _from(found: Row) -> str | None:
    if not found["seed"]:
        return "withdrawn: it is in no source any more"
    seed = found["seed"][0]
    about = (seed["title"], f"{seed['file']}:{seed['line']}", seed["licence"], seed["attribution"])
    return (
        f"{seed['source']} {seed['doc_id']}, chunk {seed['chunk']}: "
        + ", ".join(filter(None, about))
        + f"\n{seed['text']}"
    )


def _called(found: Row) -> str:
    return "\n".join(
        f"{c['template']}, {c['model'].rpartition('/')[2]} {c['revision'] or ''}: {c['prompt_tokens']} prompt tokens "
        f"({c['cached_tokens']} cached), {c['generated_tokens']} generated, {c['finish_reason']}; {c['request_id'][:16]}"
        for c in found["completion"]
    )


def _judged(found: Row) -> str | None:
    if not found["verdict"]:
        return None
    failed = [v for v in found["verdict"] if v["outcome"] != Outcome.HOLDS]
    named = [f"{v['table']} {v['gate']} {v['outcome']}" for v in failed[:_SHOWN_GATES]]
    more = [f"{len(failed) - _SHOWN_GATES} more"] if len(failed) > _SHOWN_GATES else []
    return "; ".join([f"{len(found['verdict']) - len(failed)} of {len(found['verdict'])} hold", *named, *more])


def show(found: Row, console: Console) -> None:
    """Print the story of an item on one screen: long texts cut, each table in a line or two."""
    if not found["draft"]:
        return _show_document(found, console)
    draft, told = found["draft"], found["told"]
    events = [f"{e['event']} by {e['who']}" + (f": {e['why']}" if e["why"] else "") for e in found["quarantine"]]
    account = story(told) if told else {}
    writer = next(iter(found["completion"]), None)
    lines: dict[str, str | None] = {
        "seed": _from(found),
        "because": _caused(found),
        "asked": ", ".join(filter(None, (draft[n] for n in ("strategy", "grade", "format", "lever", "lang")))),
        "prompt": told and told["prompt"],
        "engine": writer and f"{writer['model']}, sampling {writer['sampling']}, {writer['engine']}",
        **{name: account.get(name) for name in ("tries", "draft", "labels", "votes")},
        "benchmarks": "\n".join(f"{c['kind']} {c['benchmark']} {c['score']:.2f}: {c['match']}" for c in found["contamination"]),
        "filters": account.get("filters"),
        "gates": _judged(found),
        "quarantine": "; ".join(events),
        "text": account.get("text"),
        "calls": _called(found),
        "cost": cost_text(found["cost"]),
    }  # fmt: skip
    head = f"{draft['draft_id']}: {'in the mix' + _place(found) if told and kept(told) else 'not in the mix'}"
    _print(head, lines, console)


def _show_document(found: Row, console: Console) -> None:
    label, mix = next(iter(found["annotation"]), None), found["mix"]
    row = (found["seed"] or found["corpus"])[0]
    what, key = ("a seed", "seed_id") if found["seed"] else ("of a corpus", "document_id")
    lines: dict[str, str | None] = {
        "seed": _from(found) if found["seed"] else None,
        "corpus": None
        if found["seed"]
        else f"{row['source']}: {row['file']}:{row['line']}, {row['licence']}\n{row['text']}",
        "left out": row.get("rule") and f"{row['rule']} {row['evidence'] or ''}",
        "labels": label and f"{label['discipline']}/{label['difficulty']} by {label['annotator']}",
        "text": mix[0]["text"] if mix else None,
    }
    _print(f"{row[key]}: {what}, {'in the mix' + _place(found) if mix else 'itself not in the mix'}", lines, console)


def _place(found: Row) -> str:
    """Where in the mix the item stands, in words behind it."""
    row = next(iter(found["mix"]), None)
    return f" as {row['component']}, shard {row['shard']}, {row['tokens']} tokens" if row else ""


def _print(head: str, lines: dict[str, str | None], console: Console) -> None:
    console.print(Text(head, style="bold"))
    grid = Grid.grid(padding=(0, 2))
    for name, text in lines.items():
        if text:
            grid.add_row(Text(name, style="bold"), Text(cut(text, _SHOWN_CHARACTERS if name != "calls" else 4_000)))
    console.print(grid)
