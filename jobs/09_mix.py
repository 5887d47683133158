"""Job 9, mix: exports what the gate judged, and nothing else: shards, manifest, dataset card."""

import hashlib

from boostqa.basis import digest as basis_digest
from boostqa.calls.models import target_tokenizer
from boostqa.errors import GateFailed
from boostqa.export import card, manifest, shards
from boostqa.pipeline import submit
from boostqa.stages import mix, quarantine
from boostqa.tracking.stage_run import StageRun, code_revision
from boostqa.vocabulary import Outcome

READS = ("verdict", "clean", "budget", "quarantine")
WRITES = ("mix", "reject", "shards", "manifest", "dataset card")


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance, export."""
    verdicts = [r.asDict() for r in stage.read("verdict").collect()]
    if blocking := sum(v["outcome"] == Outcome.BLOCKS for v in verdicts):
        raise GateFailed(
            f"{blocking} gates block in the verdict table: nothing is exported; run the gate again after mending"
        )
    judged = {v["table"]: v["version"] for v in verdicts}  # a verdict holds for exact versions: the mix reads no others
    clean, budget = (stage.read(name, name != "clean", judged[name]) for name in ("clean", "budget"))
    passed, held = quarantine.split(clean, stage.read("quarantine", required=False))  # as it is now: people release
    tokenizer, conf = target_tokenizer(stage.config), stage.config.mix
    rendered = mix.render(passed, tokenizer).persist()
    rows, over = mix.choose(rendered, budget, conf)
    kept = stage.write("mix", rows)
    stage.check_row_balance(clean.count(), kept, stage.reject(held.unionByName(over)))
    exported, folder = stage.read_back("mix"), shards.mix_folder(stage.config.output)
    files = shards.export(exported, folder, list(conf.formats), conf.shards)
    digest = hashlib.sha256(tokenizer.encode()).hexdigest()
    versions = judged | {"quarantine": stage.inputs["quarantine"]}
    hashes = (stage.conf_hash, digest, basis_digest(stage.basis))
    described = manifest.describe(exported, files, versions, code_revision(), *hashes)
    card.write(folder, card.card(exported, clean, described, verdicts))
    manifest.write(folder, described)


if __name__ == "__main__":
    submit("mix")
