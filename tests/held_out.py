"""Input that holds probe items: what a line has to keep out of its seeds and its mix."""

import json

OPEN_ITEM = {
    "id": "1",
    "question": "Prove that the angles of any triangle in the plane add up to two right angles.",
    "discipline": "0541",
}
_CLOSED = "Which of these objects is attracted by an ordinary bar magnet?"  # probe-001 of the demo
_SEEDS = (
    _CLOSED,
    f"A teacher wrote: {OPEN_ITEM['question']} Nobody knew how.",
    "Why does a ship of steel float at all?",
)


def write(folder):
    """The files of `settings`: an open probe item, and seeds of which two hold probe items."""
    rows = {
        "open": [OPEN_ITEM | {"answer": "By a parallel."}],
        "copies": [{"id": t[:9], "question": t} for t in _SEEDS],
    }
    for name, own in rows.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, own)))


def settings(folder, conf):
    """Settings that add both to the sources of a conf."""
    usual = {"format": "jsonl", "kind": "qa", "lang": "en"}
    more = {
        "probe.items": {"name": "open", "fields": {x: x for x in ("id", "question", "answer", "discipline")}},
        "seed.sources": {"name": "copies", "fields": {"doc_id": "id", "question": "question"}, "licence": "MIT"},
    }
    lists = {key: [s.model_dump(mode="json") for s in conf.sources()[key]] for key in more}
    for key, source in more.items():
        lists[key].append(source | usual | {"path": f"{folder}/{source['name']}.jsonl"})
    return [f"{key}={json.dumps(sources, ensure_ascii=False)}" for key, sources in lists.items()]
