"""Job 5, synthesize: writes questions, then measures their difficulty; makes the controls that will travel with them."""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.calls.generation import complete
from boostqa.calls.models import ModelSpec, model_of_role, target_tokenizer
from boostqa.pipeline import submit
from boostqa.schemas import CONTROL
from boostqa.sources import read_held_out, read_items
from boostqa.stages import annotate, controls, deduplicate, fitness, refine, synthesize
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import ItemTable
from udfs.control_tokens import control_tokens

READS = ("plan", "seed", "annotation", "controls", "benchmarks")
WRITES = ("draft", "control", "annotation", "reject")


def all_tries(stage: StageRun, plan: DataFrame, seeds: DataFrame) -> tuple[DataFrame, int]:
    """Every try of every plan row, and how many of them are second ones or later.

    In rounds: sample 0 of all seeds first, and in each later round also what failed in the one before.
    """
    conf, generator = stage.config.synthesize, model_of_role(stage.config, "generator")
    tokens = tuple(control_tokens(target_tokenizer(stage.config)).values())
    labels = stage.read("annotation").where(F.col("item_table") == ItemTable.SEED)
    labels = labels.select(F.col("item_id").alias("seed_id"), "discipline", "difficulty")
    rows = stage.store(synthesize.with_material(plan, seeds, labels, conf))
    tries, again, further = stage.spark.createDataFrame([], synthesize.TRY), rows.limit(0), 0
    last = rows.agg(F.max("sample_index")).first()[0]  # None: no row
    for sample in range(-1 if last is None else last + 1 + conf.retries):
        due = rows.where(F.col("sample_index") == sample).unionByName(again)
        if due.isEmpty():
            continue
        requests = synthesize.requests(due, synthesize.asked(tries), generator, conf)
        # No cache: the ledger's next write would drop it, and every later round reads the ones before.
        parsed = stage.store(synthesize.tried(requests, complete(stage, requests, generator), tokens))
        sound = parsed.where("broken_rule is null").drop("broken_rule")
        unfit = fitness.rejects(sound, seeds, stage.config.clean, stage.name)
        tried = stage.store(synthesize.with_unfit(parsed, unfit))
        again = synthesize.again(tried, rows, conf)
        further += again.count()
        tries = tries.unionByName(tried)
    return tries, further


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    plan, seeds, conf = stage.read("plan"), stage.read("seed"), stage.config
    generator, annotator = model_of_role(conf, "generator"), model_of_role(conf, "annotator")
    tries, further = all_tries(stage, plan, seeds)
    drafts, unusable = synthesize.drafts_and_rejects(tries, conf.synthesize)
    parsed, copies = synthesize.without_copies(drafts, deduplicate.exact(synthesize.as_questions(drafts)))
    parsed = stage.store(parsed)
    stage.write("control", _controls(stage, plan, seeds, generator), f"stage = '{stage.name}'")
    questions = annotate.requests(synthesize.as_items(parsed), stage.name, annotator, conf.annotate)
    labels, unlabelled = annotate.parse(questions, complete(stage, questions, annotator), ItemTable.DRAFT, stage.name)
    stage.write("annotation", labels, f"item_table = '{ItemTable.DRAFT}'")
    measured, unfit = synthesize.with_difficulty(parsed, labels, unlabelled, conf.synthesize)
    kept = stage.write("draft", measured)
    rejected = stage.reject(unusable.unionByName(copies).unionByName(unfit))
    stage.check_row_balance(plan.count(), kept, rejected, fan_out=further)


def _controls(stage: StageRun, plan: DataFrame, seeds: DataFrame, generator: ModelSpec) -> DataFrame:
    """CONTROL rows; the generator's own answers to the known questions give the errors that it makes."""
    conf = stage.config
    if not conf.controls.sources:
        return stage.spark.createDataFrame([], CONTROL.schema)

    known = reduce(DataFrame.unionByName, (read_items(stage.spark, source) for source in conf.controls.sources))
    drawn = stage.store(controls.draw(known, plan, conf.controls))
    one_more = (conf.refine.blind_attempts,)  # no attempt of the voter, should it be the same model
    asked = refine.blind_requests(drawn, generator, conf.refine, one_more)
    tokens = control_tokens(target_tokenizer(conf)).values()
    answered = refine.votes(drawn, asked, complete(stage, asked, generator), tokens)
    leaks = read_held_out(stage.spark, conf)
    made = stage.store(controls.make(answered, seeds, leaks, conf.controls))
    return controls.after(made, stage.name, fitness.rejects(made, seeds, conf.clean, stage.name))


if __name__ == "__main__":
    submit("synthesize")
