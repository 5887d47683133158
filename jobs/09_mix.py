"""Job 9, mix: exports what the gates judged, of every round that they let pass, and nothing else: shards, manifest,
dataset card."""

import json

from pyspark.sql import functions as F

from boostqa.calls.models import target_tokenizer
from boostqa.console import CONSOLE
from boostqa.errors import GateFailed
from boostqa.export import card, croissant, manifest, origin, shards
from boostqa.pipeline import submit
from boostqa.rounds import exported
from boostqa.stages import mix, quarantine, withdrawal
from boostqa.tracking.mlflow_runs import log_texts
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import Outcome

READS = ("quarantine", "withdrawal")
READS_EARLIER = ("verdict", "clean", "budget")  # of all rounds
WRITES = ("mix", "reject", "shards", "manifest", "dataset card")


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
    clean, budget = (stage.read_earlier(name).where(F.col("round").isin(rounds)) for name in ("clean", "budget"))
    passed, held = quarantine.split(clean, stage.read("quarantine", required=False))  # as it is now: people release
    stage.warehouse.create("withdrawal")  # people write it: from now on a row more makes the mix stale
    withdrawn = stage.read("withdrawal", required=False)
    passed, gone = withdrawal.split(passed, withdrawn)
    tokenizer, conf = target_tokenizer(stage.config), stage.config.mix
    rendered = mix.render(passed, tokenizer).persist()
    rows, over = mix.choose(rendered, budget, conf)
    kept = stage.write("mix", rows)
    stage.check_row_balance(clean.count(), kept, stage.reject(held.unionByName(gone).unionByName(over)))
    rows, folder = stage.read_back("mix"), shards.mix_folder(stage.config.output)
    files = shards.export(rows, folder, conf, tokenizer)
    made_from = origin.of_export(stage, rounds) | origin.of_checks(stage.warehouse, rounds)
    made_from["verdicts"] = origin.verdicts(verdicts)
    if left_out := origin.withdrawn(withdrawn, clean):
        made_from["withdrawn"] = left_out
    said = manifest.describe(rows, files, made_from)
    text = card.card(rows, clean, said, verdicts)
    said["card"], said["croissant"] = card.write(folder, text), croissant.write(folder, said)
    manifest.write(folder, said)
    log_texts({"mix/README.md": text, "mix/manifest.json": json.dumps(said, indent=2, ensure_ascii=False)})


if __name__ == "__main__":
    submit("mix")
