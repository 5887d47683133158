"""Job 9, mix: clean, budget, verdict -> mix, reject, shards, manifest, card. Exports only what the gate judged."""

import hashlib

from boostqa.errors import GateFailed
from boostqa.export import card, manifest, shards
from boostqa.line import submit
from boostqa.lineage import StageRun, code_revision
from boostqa.stages import mix


def main(stage: StageRun) -> None:
    """Read, call the stage, write, state the account."""
    verdicts = [r.asDict() for r in stage.read("verdict").collect()]
    if failed := sum(not v["success"] for v in verdicts):
        raise GateFailed(
            f"{failed} gates fail in the verdict table: nothing is exported; run the gate again after mending"
        )
    judged = {v["table"]: v["version"] for v in verdicts}  # a verdict holds for exact versions: the mix reads no others
    clean, budget = (stage.read(name, version=judged[name]) for name in ("clean", "budget"))
    tokenizer, conf = stage.tokenizer(), stage.config.mix
    rendered = mix.render(clean, tokenizer).persist()
    rows, over = mix.choose(rendered, budget, conf)
    kept = stage.write("mix", rows)
    stage.account(rendered.count(), kept, stage.reject(over))
    exported = stage.warehouse.read("mix", stage.outputs["mix"].version)
    folder = f"{stage.config.output.rstrip('/')}/mix"
    files = shards.export(exported, folder, list(conf.formats), conf.shards)
    digest = hashlib.sha256(tokenizer.encode()).hexdigest()
    described = manifest.describe(exported, files, judged, code_revision(), stage.config.identity_hash, digest)
    card.write(folder, card.card(exported, clean, described, verdicts))
    manifest.write(folder, described)


if __name__ == "__main__":
    submit("mix")
