"""Job 8, gate: judges what the pipeline made; a gate that fails stops it before the mix."""

from pyspark.sql import functions as F

from boostqa.errors import GateFailed
from boostqa.gates.judge import judge
from boostqa.pipeline import submit
from boostqa.report.status import quality_folder
from boostqa.schemas import VERDICT
from boostqa.tracking.stage_run import StageRun

READS = (
    "seed", "annotation", "probe", "budget", "plan", "completion", "draft", "refined", "clean", "reject", "contamination",
)  # fmt: skip
WRITES = ("verdict",)


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    conf, folder = stage.config, quality_folder(stage.config.output)
    frames = {name: stage.read(name, required=False) for name in READS}
    verdicts = judge(frames, dict(stage.inputs), conf.gate, conf.seed, conf.clean, folder)
    rows = stage.spark.createDataFrame([{**v, "run_id": stage.run_id} for v in verdicts], VERDICT.schema)
    stage.check_row_balance(len(verdicts), stage.write("verdict", rows.orderBy(F.col("table"), F.col("gate"))))
    if failed := [v for v in verdicts if not v["success"]]:
        lines = [f"  {v['table']}: {v['gate']}: observed {v['observed']}, expected {v['expected']}" for v in failed]
        raise GateFailed(
            f"{len(failed)} of {len(verdicts)} gates fail; nothing is exported\n" + "\n".join(lines) + f"\n  verdicts: "
            f"{folder / 'verdicts.html'}; look at the rows, then mend the cause or change the threshold in `gate:`"
        )


if __name__ == "__main__":
    submit("gate")
