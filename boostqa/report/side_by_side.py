"""What became of each synthesis request, all in one place: from its seed to the text in the mix, and what it cost."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from typing import Any

from pyspark.sql import functions as F
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table as Grid
from rich.text import Text

from boostqa.report.visible import cut
from boostqa.storage.warehouse import Warehouse
from boostqa.vocabulary import OPTION_LETTERS, STAGES, Format, Severity
from udfs.answers import same

SHOWN_CHARACTERS = 700  # of a long text
ITEM = ("question", "choices", "solution", "answer")
LABELS = ("discipline", "discipline_probability", "difficulty", "difficulty_probability")
Row = dict[str, Any]


def rows_with(warehouse: Warehouse, table: str, column: str, values: Iterable[str]) -> list[Row]:
    """The rows of a table whose `column` is among `values` (few); none where the table was not written."""
    if not warehouse.exists(table):
        return []
    wanted = warehouse.spark.createDataFrame([(value,) for value in set(values)], f"{column} string")
    rows = warehouse.read(table).join(F.broadcast(wanted), column, "inner").collect()  # wanted: unique
    return [r.asDict(recursive=True) for r in rows]


def in_the_mix(warehouse: Warehouse, draft_ids: Iterable[str]) -> dict[str, Row]:
    """draft_id -> the MIX row of the first pass of the document that has the item, of some items (few)."""
    if not warehouse.exists("mix"):
        return {}
    wanted = list(set(draft_ids))
    rows = warehouse.read("mix").where("pass = 1").withColumn("draft_id", F.explode("draft_ids"))
    found = rows.join(
        F.broadcast(warehouse.spark.createDataFrame([(i,) for i in wanted], "draft_id string")), "draft_id", "inner"
    )
    return {r["draft_id"]: r.asDict(recursive=True) for r in found.collect()}


def items_of(warehouse: Warehouse, asked_for: Iterable[Row]) -> list[Row]:
    """A dict for each of the PLAN rows `asked_for` (few): its columns, `draft_id` (null where no draft was read from a
    reply), `seed` (null where it was withdrawn), `prompt` and `reply` of the last try, `tries` (rule and evidence of each
    try before it), `draft`, `labels`, `votes`, `filters` (stage, rule and evidence of each reject that ended it), `text` and
    `tokens` as in the mix (null where it did not get to the gate), and `cost`: what the ledger has of it, whoever paid.

    A job or two of Spark for each table, however many items.
    """
    plan = {row["plan_id"]: row for row in asked_for}
    drafts = {r["plan_id"]: r for r in rows_with(warehouse, "draft", "plan_id", plan)}
    rejects = _rejects(warehouse, plan, drafts)
    seeds = {r["seed_id"]: r for r in rows_with(warehouse, "seed", "seed_id", (p["seed_id"] for p in plan.values()))}
    ids = {*(draft["draft_id"] for draft in drafts.values()), *(r["key"] for r in chain(*rejects.values()))}
    labels, refined = (
        {r[key]: r for r in rows_with(warehouse, table, key, ids | seeds.keys())}
        for table, key in (("annotation", "item_id"), ("refined", "draft_id"))
    )
    mixed: dict[Any, Row] = in_the_mix(warehouse, ids)
    paid = chain(*rejects.values(), (labels[i] for i in ids & labels.keys()), refined.values())
    requests = {*chain(*(row["request_ids"] or [] for row in paid)), *(d["request_id"] for d in drafts.values())}
    calls = {r["request_id"]: r for r in rows_with(warehouse, "completion", "request_id", requests)}

    def item(plan_id: str, asked: Row) -> Row:
        draft, seed_id = drafts.get(plan_id), asked["seed_id"]
        tries = [r for r in rejects[plan_id] if r["stage"] == "synthesize"]
        tries.sort(key=lambda r: max((c["sample_index"] for c in writing(r["request_ids"], calls)), default=-1))
        ended = [] if draft else tries[-1:]  # a draft was kept: the rejects are of the tries before it
        draft_id = draft["draft_id"] if draft else next((r["key"] for r in ended if r["key"] != plan_id), None)
        label, checked, final = (rows.get(draft_id) for rows in (labels, refined, mixed))
        costs = [row["request_ids"] or [] for row in (label, checked, *rejects[plan_id]) if row]
        own = sorted({*chain(*costs), *([draft["request_id"]] if draft else [])})
        return {
            **asked,
            "draft_id": draft_id,
            "seed": seeds[seed_id] | {"difficulty": labels.get(seed_id, {}).get("difficulty")}
            if seed_id in seeds
            else None,
            **_last_try(own, calls),
            "tries": [{name: r[name] for name in ("rule", "evidence")} for r in tries if r not in ended],
            "draft": {name: draft[name] for name in ITEM} if draft else None,
            "labels": {name: label[name] for name in LABELS} if label else None,
            "votes": _votes(checked) if checked else None,
            "filters": [
                {name: r[name] for name in ("stage", "rule", "evidence")}
                for r in (*ended, *(r for r in rejects[plan_id] if r["stage"] != "synthesize"))
            ],
            "text": final["text"] if final else None,
            "tokens": final["tokens"] if final else None,
            "cost": cost_of(own, calls),
        }

    return [item(plan_id, asked) for plan_id, asked in plan.items()]


def _rejects(warehouse: Warehouse, plan: dict[str, Row], drafts: dict[str, Row]) -> defaultdict[str, list[Row]]:
    """The rejects of each plan row by plan_id, in the order of the stages.

    A draft that synthesize rejects is in no table: its id is sha256 over plan_id and request_id.
    """
    found: defaultdict[str, list[Row]] = defaultdict(list)
    if not warehouse.exists("reject"):
        return found
    ids = [(p, [p, drafts[p]["draft_id"]] if p in drafts else [p]) for p in plan]
    wanted = warehouse.spark.createDataFrame(ids, "plan_id string, keys array<string>")
    made = F.exists("request_ids", lambda r: F.sha2(F.concat_ws("|", "plan_id", r), 256) == F.col("key"))
    own = F.array_contains("keys", F.col("key")) | F.coalesce(made, F.lit(False))
    rows = [r.asDict() for r in warehouse.read("reject").join(F.broadcast(wanted), own, "inner").collect()]
    for row in sorted(rows, key=lambda r: (STAGES.index(r["stage"]), r["rule"])):
        found[row["plan_id"]].append(row)
    return found


def _votes(refined: Row) -> Row:
    """The blind answers and whether each equals the final one (null: the matcher cannot tell)."""
    choice = refined["format"] == Format.MULTIPLE_CHOICE
    answers = [{"answer": a, "equal": same(refined["answer"], a, choice)} for a in refined["blind_answers"]]
    return {"answers": answers, **{n: refined[n] for n in ("status", "votes", "answer", "draft_answer", "rewrite")}}


def writing(request_ids: Iterable[str] | None, calls: dict[str, Row]) -> list[Row]:
    """Those of the requests, of which `calls` holds the completions, that asked for a question."""
    own = (calls[request_id] for request_id in request_ids or [] if request_id in calls)
    return [c for c in own if c["stage"] == "synthesize" and not c["template"].startswith("annotate")]


def _last_try(request_ids: Iterable[str], calls: dict[str, Row]) -> Row:
    last = max(writing(request_ids, calls), key=lambda c: c["sample_index"], default=None)
    return {"prompt": last["prompt"] if last else None, "reply": last["text"] if last else None}


def cost_of(request_ids: Iterable[str], calls: dict[str, Row]) -> Row:
    """Requests, tokens, and seconds between submission to an engine and the end, added up."""
    counted = ("prompt_tokens", "cached_tokens", "generated_tokens")
    own = [calls[request_id] for request_id in request_ids if request_id in calls]
    sums: Row = {name: sum(c[name] for c in own) for name in counted}
    return {"requests": len(own), **sums, "seconds": sum(c["engine_seconds"] for c in own)}


def cost_text(cost: Row) -> str:
    """What `cost_of` found, as one line."""
    return (
        f"{cost['requests']} requests, {cost['prompt_tokens']} prompt tokens ({cost['cached_tokens']} cached), "
        f"{cost['generated_tokens']} generated, {cost['seconds']:.1f} engine seconds"
    )


def _cut(text: str) -> Text:
    return Text(cut(text, SHOWN_CHARACTERS))


def draft_text(draft: Row) -> str:
    """A draft as people read it: question, options, solution, answer."""
    question, choices, solution, answer = (draft[name] for name in ITEM)
    options = [f"{letter}. {option}" for letter, option in zip(OPTION_LETTERS, choices or [], strict=False)]
    return "\n".join([question, *options, f"solution: {solution}", f"answer: {answer}"])


def story(item: Row) -> dict[str, str | None]:
    """What became of an item, as texts under their names, in order; null where it did not come to that."""
    labels, votes = item["labels"], item["votes"]
    told = {True: "equal", False: "different", None: "cannot tell"}
    return {
        "tries": "\n".join(f"{t['rule']}: {t['evidence']}" for t in item["tries"]) or None,
        # The reply as it came where it was not parsed or not kept.
        "draft": draft_text(item["draft"]) if item["draft"] else item["reply"],
        "labels": labels
        and f"{labels['discipline']} ({labels['discipline_probability']:.2f}), {labels['difficulty']} "
        f"({labels['difficulty_probability']:.2f}) against the aim {item['grade']}",
        "votes": votes
        and f"{votes['status']}, {votes['votes']} of {len(votes['answers'])} for {votes['answer']}: "
        + "; ".join(f"{a['answer']} ({told[a['equal']]})" for a in votes["answers"])
        + f"; solution {votes['rewrite']}",
        "filters": "\n".join(f"{f['stage']}: {f['rule']}: {f['evidence']}" for f in item["filters"]) or None,
        "text": item["text"],
        "cost": cost_text(item["cost"]),
    }


def kept(item: Row) -> bool:
    """What the gate holds back has a text and a reject."""
    return item["text"] is not None and not item["filters"]


def _panel(number: int, item: Row) -> Panel:
    seed = item["seed"]
    pair = Grid.grid(padding=(0, 2), expand=True)
    for _ in range(2):
        pair.add_column(ratio=1)
    about = " ".join(filter(None, ("seed:", seed["source"], seed["title"], seed["difficulty"])))
    pair.add_row(Text(about, style="bold"), Text("prompt", style="bold"))
    pair.add_row(_cut(seed["text"]), _cut(item["prompt"] or ""))
    facts = Grid.grid(padding=(0, 2))
    for name, text in story(item).items():
        if text:
            facts.add_row(Text(name, style="bold"), _cut(text))
    is_kept = kept(item)
    asked = (item[name] for name in ("strategy", "grade", "format", "discipline", "lever", "lang"))
    title = f"{number} {'kept' if is_kept else 'rejected'}: {', '.join(filter(None, asked))}"
    return Panel(Group(pair, Text(), facts), title=Text(title), title_align="left", style="" if is_kept else "dim")


def show(facts: Row, console: Console) -> None:
    """Print what a preview found: a panel for each item, the gates that fail, and a line of sums."""
    items, gates, cost = facts["items"], facts["gates"], facts["cost"]
    for number, item in enumerate(items, 1):
        console.print(_panel(number, item))
    failed = [g for g in gates if not g["success"]]
    console.print(f"gates, on these items alone: {len(gates) - len(failed)} hold, {len(failed)} fail", highlight=False)
    for gate in failed:
        line = (
            f"  {gate['table']}: {gate['gate']} ({gate['severity']}): {gate['observed']} (wanted: {gate['expected']})"
        )
        console.print(Text(line, style="red" if gate["severity"] == Severity.BLOCK else "yellow"))
    sums = {name: sum(item["cost"][name] for item in items) for name in ("prompt_tokens", "generated_tokens")}
    console.print(
        f"kept {sum(map(kept, items))} of {len(items)}, {sums['prompt_tokens']} prompt and "
        f"{sums['generated_tokens']} generated tokens, {cost['reused']} of {cost['requests']} requests from the ledger, "
        f"{cost['seconds']:.0f} s",
        highlight=False,
    )
