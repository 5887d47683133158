"""Job 7, clean: drops what is unfit, repeated, also from an earlier round, or leaked. Controls go the same way, which
tells what its rules are worth; a student answers what is left."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.calls.generation import complete
from boostqa.calls.models import model_spec, target_tokenizer
from boostqa.config import Model
from boostqa.console import CONSOLE
from boostqa.control_tokens import control_tokens
from boostqa.pipeline import submit
from boostqa.schemas import DRAFT, RUBRIC, STUDENT
from boostqa.stages import clean, controls, fluency, novelty, power, refine, rubric, student
from boostqa.tracking.stage_run import StageRun

READS = ("draft", "refined", "control", "seed", "completion", "held_out")
READS_EARLIER = ("clean",)
WRITES = ("clean", "contamination", "novelty", "rubric", "student", "control", "power", "reject")


def unfit_items(stage: StageRun, items: DataFrame, seeds: DataFrame) -> DataFrame:
    """Rejects of items that break a rule on text; with model.fluency also of those that read unlike the seeds, with
    model.rubric_judge of those that a judge finds wanting."""
    conf, models = stage.config.clean, stage.config.model
    unfit = stage.store(clean.rejects_of_unfit(items, seeds, conf))
    if models.fluency:
        spec = model_spec(stage.config, models.fluency)
        requests = fluency.requests(_left(items, unfit), seeds, spec, conf)
        unfit = stage.store(unfit.unionByName(fluency.parse(requests, complete(stage, requests, spec))))
    if models.rubric_judge is None:
        stage.write("rubric", stage.spark.createDataFrame([], RUBRIC.schema))
        return unfit
    return stage.store(unfit.unionByName(_judged(stage, _left(items, unfit), models.rubric_judge)))


def _left(items: DataFrame, unfit: DataFrame) -> DataFrame:
    return items.join(unfit.select(F.col("key").alias("draft_id")), "draft_id", "left_anti")


def _judged(stage: StageRun, items: DataFrame, judge: Model) -> DataFrame:
    """Write what the judge says of the items; the rejects, of controls, too. Drawn controls say what it is worth."""
    known = stage.read("control", required=False).where("stage = 'synthesize'")
    columns = [F.col(name) for name in DRAFT.schema.names]
    drawn = known.select(*columns, F.lit(True).alias("drawn"), "defect")
    asked = items.select(*columns, F.lit(False).alias("drawn"), F.lit("").alias("defect")).unionByName(drawn)
    spec = model_spec(stage.config, judge)
    requests = rubric.requests(asked, spec)
    scored = stage.store(rubric.scores(requests, complete(stage, requests, spec)))
    limits = rubric.limits([r.asDict() for r in scored.where("drawn").collect()])
    unused = ", ".join(name for name in rubric.CRITERIA if name not in limits)
    CONSOLE.print(f"  rubric of {judge.id}: no evidence on the controls for {unused}", markup=False, highlight=False)
    rows, rejects = rubric.parse(scored.where("not drawn"), limits, judge.id)
    stage.write("rubric", controls.without(rows, known))
    return rejects


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    refined, seeds, conf = stage.read("refined", required=False), stage.read("seed"), stage.config.clean
    known = stage.store(controls.travelling(stage.read("control", required=False), "refine"))
    items = refined.unionByName(known.select(*DRAFT.schema.names), allowMissingColumns=True)
    unfit = unfit_items(stage, items, seeds)
    earlier = stage.read_earlier("clean")
    duplicates = clean.rejects_with_duplicates(items, unfit, seeds, earlier, conf)
    rejected = stage.store(controls.without_lookalikes(duplicates, known))
    matches = stage.store(clean.contaminate(items, rejected, seeds, stage.read("held_out"), conf))
    stage.write("contamination", controls.without(matches, known))
    rows, rest = clean.clean(items, rejected, matches, seeds, target_tokenizer(stage.config))
    rejects = stage.store(rejected.unionByName(rest))
    kept = stage.write("clean", controls.without(rows, known))
    dropped = stage.reject(controls.without(rejects, known, "key"))
    stage.check_row_balance(refined.count(), kept, dropped)
    questions = stage.store(novelty.questions(stage.read_back("clean"), earlier))
    stage.write("novelty", novelty.novelty(stage.read("draft"), refined, rejects, questions))
    stage.write("student", _passes(stage, stage.read_back("clean")))
    _measure(stage, known, rejects)


def _passes(stage: StageRun, items: DataFrame) -> DataFrame:
    """STUDENT rows; none without a student."""
    model, conf = stage.config.model.student, stage.config
    if model is None:
        return stage.spark.createDataFrame([], STUDENT.schema)
    first = conf.refine.blind_attempts + 1  # no attempt of the voter or the generator, should it be one of these
    numbers = tuple(range(first, first + conf.clean.student_attempts))
    items = items.select(*DRAFT.schema.names)
    asked = refine.blind_requests(items, model_spec(conf, model), conf.refine, numbers)
    tokens = control_tokens(target_tokenizer(conf)).values()
    return student.passes(refine.votes(items, asked, complete(stage, asked, model_spec(conf, model)), tokens))


def _measure(stage: StageRun, known: DataFrame, rejects: DataFrame) -> None:
    """Write what became of the controls, and what the checks are worth."""
    stage.write("control", controls.after(known, "clean", rejects), "stage = 'clean'")
    models = F.col("check").isin(power.VOTER, power.JUDGE)
    rows = power.power(stage.read_back("control"), stage.read("completion"))
    stage.write("power", rows.where(~models), f"check not in ('{power.VOTER}', '{power.JUDGE}')")


if __name__ == "__main__":
    submit("clean")
