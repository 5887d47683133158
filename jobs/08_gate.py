"""Job 8, gate: judges what the pipeline made; a gate that blocks stops it before the mix, rows that fail are held back."""

from datetime import UTC, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.errors import GateFailed
from boostqa.export import manifest
from boostqa.export.shards import mix_folder, withdraw
from boostqa.gates.judge import judge
from boostqa.gates.page import copy_to
from boostqa.pipeline import submit
from boostqa.reasons import by_weight
from boostqa.report.status import quality_folder
from boostqa.schemas import VERDICT
from boostqa.stages import quarantine
from boostqa.tracking.mlflow_runs import log_texts
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import Outcome

READS = (
    "seed", "annotation", "probe", "budget", "plan", "completion", "draft", "control", "refined", "clean", "reject",
    "contamination", "power", "quarantine",
)  # fmt: skip
WRITES = ("verdict", "quarantine")


def main(stage: StageRun) -> None:
    """Read, judge, hold rows back, write, check the row balance."""
    conf, folder = stage.config, quality_folder(stage.config.output, stage.round)
    if manifest.holds(mix_folder(conf.output), stage.round):
        withdraw(mix_folder(conf.output))  # an earlier export is none of what is judged now
    for name in ("control", "power", "quarantine"):  # a table without a row says: no control, nothing held back
        stage.warehouse.create(name)
    frames = {name: stage.read(name, required=False) for name in READS}

    def hold(events: DataFrame) -> DataFrame:
        made = quarantine.stamped(events, stage.inputs["clean"], stage.run_id, datetime.now(UTC))
        return stage.append("quarantine", made)

    verdicts = judge(frames, dict(stage.inputs), conf, folder, hold)
    page = (folder / "verdicts.html").read_text(encoding="utf-8")
    log_texts({"verdicts.html": page})
    if "://" in conf.output:
        copy_to(f"{conf.output.rstrip('/')}/{quality_folder('', stage.round)}", page)
    rows = stage.spark.createDataFrame([{**v, "run_id": stage.run_id} for v in verdicts], VERDICT.schema)
    stage.check_row_balance(len(verdicts), stage.write("verdict", rows.orderBy(F.col("table"), F.col("gate"))))
    if blocking := [v for v in by_weight(verdicts) if v["outcome"] == Outcome.BLOCKS]:
        lines = [f"  {v['table']}: {v['gate']}: {v['observed']} (wanted: {v['expected']})" for v in blocking]
        raise GateFailed(
            f"{len(blocking)} of {len(verdicts)} gates fail and block; nothing is exported\n" + "\n".join(lines)
            + f"\n  verdicts: {folder / 'verdicts.html'}; rows: boostqa quarantine list; look at the rows, then mend the "
            "cause, release rows by name, or change limit or severity in `gate:`"
        )  # fmt: skip


if __name__ == "__main__":
    submit("gate")
