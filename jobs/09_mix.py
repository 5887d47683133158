"""Job 9, mix: exports what the gates judged, of every round that they let pass, and nothing else: shards, manifest,
dataset card."""

import json

from pyspark.sql import functions as F

from boostqa.basis import corpus_state
from boostqa.blend import Part, summary
from boostqa.calls.models import target_tokenizer
from boostqa.console import CONSOLE
from boostqa.errors import GateFailed
from boostqa.export import card, croissant, manifest, origin, shards
from boostqa.export.blended import blended, tables_of
from boostqa.export.reproduce import keep
from boostqa.pipeline import submit
from boostqa.rounds import exported
from boostqa.sources import read_records, read_token_ids
from boostqa.stages import corpus, decontaminate
from boostqa.tracking.mlflow_runs import log_texts
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import Outcome

READS = ("held_out", "seed", "annotation", "corpus", "quarantine", "withdrawal", "source files")
READS_EARLIER = ("verdict", "clean", "budget")  # of all rounds
_SHOWN = 10  # cells on the screen
WRITES = ("corpus", "mix", "reject", "shards", "manifest", "dataset card")


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance, export."""
    verdicts = [r.asDict() for r in stage.read_earlier("verdict").collect()]
    rounds = exported(verdicts, stage.config)
    if not rounds:
        blocking = sum(v["outcome"] == Outcome.BLOCKS for v in verdicts)
        raise GateFailed(
            f"{blocking} gates block in the verdict table: nothing is exported; run the gate again after mending"
        )
    for name in [r.name for r in stage.config.rounds if r.name not in rounds]:
        why = "its gates block" if name in {v["round"] for v in verdicts} else "no gate has judged it"
        CONSOLE.print(f"  round {name} is left out: {why}", style="yellow", markup=False, highlight=False)
    verdicts = [v for v in verdicts if v["round"] in rounds]
    stage.warehouse.create("withdrawal")  # people write it: from now on a row more makes the mix stale
    _read_corpora(stage)
    tokenizer, conf = target_tokenizer(stage.config), stage.config.mix
    frames = {name: stage.read_earlier(name).where(F.col("round").isin(rounds)) for name in ("clean", "budget")}
    # The others as they are now: people release and withdraw.
    frames |= {name: stage.read(name, required=False) for name in tables_of(conf) if name not in frames}
    keep(stage.warehouse, tables_of(conf))
    rows, rejects, parts, unlicensed = blended(frames, conf, tokenizer, stage.store)
    clean = frames["clean"]
    stage.write("mix", rows)
    rows, folder = stage.read_back("mix"), shards.mix_folder(stage.config.output)
    kept = rows.where("pass = 1").agg(F.coalesce(F.sum(F.size("draft_ids")), F.lit(0))).collect()[0][0]
    stage.check_row_balance(clean.count(), kept, stage.reject(rejects))
    _say(parts)
    for name, number in unlicensed.items():
        if number:
            told = f"  {name}: {number:,} documents may not go out under {conf.licence} and are left out"
            CONSOLE.print(told, markup=False, highlight=False, soft_wrap=True)
    files = shards.export(rows, folder, conf, tokenizer)
    made_from = origin.of_export(stage, rounds) | origin.of_checks(stage.warehouse, rounds)
    made_from["verdicts"] = origin.verdicts(verdicts)
    made_from["components"] = summary(parts)
    if left_out := origin.withdrawn(frames["withdrawal"], clean):
        made_from["withdrawn"] = left_out
    said = manifest.describe(rows, files, made_from)
    text = card.card(rows, clean, said, verdicts)
    said["card"], said["croissant"] = card.write(folder, text), croissant.write(folder, said)
    manifest.write(folder, said)
    log_texts({"mix/README.md": text, "mix/manifest.json": json.dumps(said, indent=2, ensure_ascii=False)})


def _read_corpora(stage: StageRun) -> None:
    """Write the rows of the other corpora that are new or not as they were: read, counted, held against the benchmarks."""
    conf, tokenizer = stage.config, target_tokenizer(stage.config)
    earlier = stage.warehouse.rows("corpus").select("source", "state").distinct().collect()
    known = {r["source"]: r["state"] for r in earlier}
    states = {source.name: corpus_state(stage.basis, source) for source in conf.mix.sources}
    new = [source for source in conf.mix.sources if known.get(source.name) != states[source.name]]
    if not new:
        return
    held_out = stage.read("held_out")
    for source in new:
        where = f"mix.components, source {source.name}"
        if "token_ids" in source.fields:
            records = corpus.decoded(read_token_ids(stage.spark, source, where), tokenizer)
        else:
            records = read_records(stage.spark, source, where)
        judged = stage.store(corpus.judged(records, tokenizer, conf.seed))
        leaks = decontaminate.leaked_seeds(corpus.as_seeds(judged), held_out, conf.clean)
        rows = corpus.rows(judged, leaks, states[source.name])
        stage.write("corpus", rows, f"source = {source.name!r}")  # as SQL quotes it, too
        left_out = stage.warehouse.read("corpus").where((F.col("source") == source.name) & F.col("rule").isNotNull())
        rules = ", ".join(
            f"{r['rule']} {r['count']:,}" for r in left_out.groupBy("rule").count().orderBy("rule").collect()
        )
        CONSOLE.print(f"  {source.name}: left out: {rules or 'nothing'}", markup=False, highlight=False, soft_wrap=True)


def _say(parts: list[Part]) -> None:
    """How often documents come, and what is short of the tokens asked for, by component and cell."""
    for name, of in summary(parts).items():
        passes = f", {of['taken'] / of['there']:.1f} times what is there" if of["taken"] > of["there"] else ""
        line = f"  {name}: {of['taken']:,} of {of['asked']:,} tokens{passes}"
        if short := sorted(of["short"].items(), key=lambda s: -s[1]):
            cells = ", ".join(f"{cell or 'no cell'} {tokens:,}" for cell, tokens in short[:_SHOWN])
            line += f"; short: {cells}" + (f" and {len(short) - _SHOWN} cells more" if len(short) > _SHOWN else "")
        CONSOLE.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    submit("mix")
