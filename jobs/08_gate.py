"""Job 8, gate: all tables -> verdict. Judges what the line made; a gate that fails stops the line before the mix."""

from pyspark.sql import functions as F

from boostqa.errors import GateFailed
from boostqa.line import submit
from boostqa.lineage import StageRun
from boostqa.quality import judge
from boostqa.report import quality_folder
from boostqa.schemas import VERDICT

JUDGED = (
    "seed", "annotation", "probe", "budget", "plan", "completion", "draft", "refined", "clean", "reject", "contamination",
)  # fmt: skip


def main(stage: StageRun) -> None:
    """Read, call the stage, write, state the account."""
    frames = {name: stage.read(name, required=False) for name in JUDGED}
    folder = quality_folder(stage.config.output)
    conf = stage.config
    verdicts = judge(frames, dict(stage.inputs), conf.gate, conf.seed, conf.clean, folder)
    rows = stage.spark.createDataFrame([{**v, "run_id": stage.run_id} for v in verdicts], VERDICT.schema)
    stage.account(len(verdicts), stage.write("verdict", rows.orderBy(F.col("table"), F.col("gate"))))
    if failed := [v for v in verdicts if not v["success"]]:
        lines = [f"  {v['table']}: {v['gate']}: observed {v['observed']}, expected {v['expected']}" for v in failed]
        raise GateFailed(
            f"{len(failed)} of {len(verdicts)} gates fail; nothing is exported\n" + "\n".join(lines) + f"\n  verdicts: "
            f"{folder / 'verdicts.html'}; look at the rows, then mend the cause or change the threshold in `gate:`"
        )


if __name__ == "__main__":
    submit("gate")
