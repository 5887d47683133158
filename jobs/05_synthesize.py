"""Job 5, synthesize: writes questions, then measures their difficulty; makes the controls that will travel with them."""

from functools import reduce

from pyspark.sql import DataFrame

from boostqa.calls.generation import complete
from boostqa.calls.models import ModelSpec, model_of_role, target_tokenizer
from boostqa.pipeline import submit
from boostqa.schemas import CONTROL
from boostqa.sources import read_items
from boostqa.stages import annotate, controls, fitness, refine, synthesize
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import ItemTable
from udfs.control_tokens import control_tokens

READS = ("plan", "seed", "controls", "benchmarks")
WRITES = ("draft", "control", "annotation", "reject")


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    plan, seeds, conf = stage.read("plan"), stage.read("seed"), stage.config
    generator, annotator = model_of_role(conf, "generator"), model_of_role(conf, "annotator")
    requests = synthesize.requests(plan, seeds, generator, conf.synthesize)
    tokens = control_tokens(target_tokenizer(conf)).values()
    parsed, unusable = synthesize.parse(requests, complete(stage, requests, generator), tokens)
    parsed = parsed.persist()
    stage.write("control", _controls(stage, plan, seeds, generator))
    questions = annotate.requests(synthesize.as_items(parsed), stage.name, annotator, conf.annotate)
    labels, unlabelled = annotate.parse(questions, complete(stage, questions, annotator), ItemTable.DRAFT, stage.name)
    stage.write("annotation", labels, f"item_table = '{ItemTable.DRAFT}'")
    drafts, unfit = synthesize.with_difficulty(parsed, labels, unlabelled, conf.synthesize)
    kept = stage.write("draft", drafts)
    rejected = stage.reject(unusable.unionByName(unfit))
    stage.check_row_balance(plan.count(), kept, rejected)


def _controls(stage: StageRun, plan: DataFrame, seeds: DataFrame, generator: ModelSpec) -> DataFrame:
    """CONTROL rows; the generator's own answers to the known questions give the errors that it makes."""
    conf = stage.config
    if not conf.controls.sources:
        return stage.spark.createDataFrame([], CONTROL.schema)

    def items(sources: list) -> DataFrame:
        return reduce(DataFrame.unionByName, (read_items(stage.spark, source) for source in sources))

    drawn = controls.draw(items(conf.controls.sources), plan, conf.controls).persist()
    one_more = (conf.refine.blind_attempts,)  # no attempt of the voter, should it be the same model
    asked = refine.blind_requests(drawn, generator, conf.refine, one_more)
    tokens = control_tokens(target_tokenizer(conf)).values()
    answered = refine.votes(drawn, asked, complete(stage, asked, generator), tokens)
    leaks = items([*conf.clean.benchmarks, *conf.probe.items])
    made = controls.make(answered, seeds, leaks, conf.controls).persist()
    return controls.after(made, stage.name, fitness.rejects(made, seeds, conf.clean, stage.name))


if __name__ == "__main__":
    submit("synthesize")
