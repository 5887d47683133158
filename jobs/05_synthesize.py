"""Job 5, synthesize: writes questions, measures their difficulty, has those that are too easy made once more; makes the
controls that will travel with them."""

from functools import reduce
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.calls.generation import complete
from boostqa.calls.models import ModelSpec, model_of_role, target_tokenizer
from boostqa.control_tokens import control_tokens
from boostqa.pipeline import submit
from boostqa.report import difficulty
from boostqa.schemas import CONTROL
from boostqa.sources import read_items
from boostqa.stages import aim, annotate, controls, deduplicate, fitness, refine, synthesize
from boostqa.tracking.mlflow_runs import log_texts
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import ItemTable

READS = ("plan", "seed", "annotation", "held_out", "controls")
READS_EARLIER = ("draft",)
WRITES = ("measured", "draft", "control", "annotation", "reject")


class Known(NamedTuple):
    """What a draft is held against: SEED rows, and DRAFT rows of earlier rounds."""

    seeds: DataFrame
    drafts: DataFrame


def tried(stage: StageRun, due: DataFrame, tries: DataFrame, known: Known) -> DataFrame:
    """One wave: the rows of `due` asked once, their prompts showing what `tries` and earlier rounds asked of their seeds."""
    conf, generator = stage.config, model_of_role(stage.config, "generator")
    tokens = tuple(control_tokens(target_tokenizer(conf)).values())
    requests = synthesize.requests(due, synthesize.asked(tries, known.drafts), generator, conf.synthesize)
    # No cache: the ledger's next write would drop it, and every later wave reads the ones before.
    parsed = stage.store(synthesize.tried(requests, complete(stage, requests, generator), tokens))
    sound = parsed.where("broken_rule is null").drop("broken_rule")
    unfit = fitness.rejects(sound, known.seeds, conf.clean, stage.name)
    return stage.store(synthesize.with_unfit(parsed, unfit))


def all_tries(stage: StageRun, rows: DataFrame, known: Known) -> tuple[DataFrame, int]:
    """Every try of every plan row, and how many of them are second ones or later.

    In waves: sample 0 of all seeds first, and in each later one also what failed in the one before.
    """
    conf = stage.config.synthesize
    tries, again, further = stage.spark.createDataFrame([], synthesize.TRY), rows.limit(0), 0
    last = rows.agg(F.max("sample_index")).first()[0]  # None: no row
    for sample in range(-1 if last is None else last + 1 + conf.retries):
        due = rows.where(F.col("sample_index") == sample).unionByName(again)
        if due.isEmpty():
            continue
        found = tried(stage, due, tries, known)
        again = synthesize.again(found, rows, conf)
        further += again.count()
        tries = tries.unionByName(found)
    return tries, further


class Wave(NamedTuple):
    """Drafts that were measured together: the parsed ones, aim.measured of them, their labels, and all rejects."""

    parsed: DataFrame
    measured: DataFrame
    labels: DataFrame
    rejects: DataFrame


def measured(stage: StageRun, tries: DataFrame, before: list[Wave], known: Known) -> Wave:
    """Drop drafts that ask the same as another one or as one of an earlier round, have the annotator label the others."""
    conf, annotator = stage.config, model_of_role(stage.config, "annotator")
    drafts, unusable = synthesize.drafts_and_rejects(tries, conf.synthesize)
    everything = reduce(DataFrame.unionByName, (r.parsed for r in before), drafts)
    twins = deduplicate.exact(synthesize.as_questions(everything), synthesize.as_questions(known.drafts))
    parsed, copies = synthesize.without_copies(drafts, twins)
    parsed = stage.store(parsed)
    items = synthesize.as_items(parsed)
    planned = annotate.known(items, "plan")
    asked = annotate.requests(annotate.items_of(items, "item_id"), stage.name, annotator, conf.annotate, planned)
    answers = complete(stage, asked, annotator)
    said = stage.store(annotate.parse(asked, answers, conf.annotate, planned))
    labels, unlabelled = annotate.labels_and_rejects(said, ItemTable.DRAFT, stage.name)
    rejects = unusable.unionByName(copies).unionByName(aim.unlabelled(parsed, unlabelled))
    return Wave(parsed, stage.store(aim.measured(parsed, labels, answers)), labels, stage.store(rejects))


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    plan, seeds, conf = stage.read("plan"), stage.read("seed"), stage.config.synthesize
    of_seeds = stage.read("annotation").where(F.col("item_table") == ItemTable.SEED)
    of_seeds = of_seeds.select(F.col("item_id").alias("seed_id"), "discipline", "difficulty")
    rows = stage.store(synthesize.with_material(plan, seeds, of_seeds, conf))
    known = Known(seeds, stage.read_earlier("draft"))
    tries, further = all_tries(stage, rows, known)
    waves = [measured(stage, tries, [], known)]
    for number in range(1, conf.harder_tries + 1):
        due = stage.store(aim.harder(rows, waves[-1].measured, number))
        if due.isEmpty():
            break
        found = tried(stage, due, tries, known)
        tries, further = tries.unionByName(found), further + due.count()
        waves.append(measured(stage, found, waves, known))
    drafts, labels, rejects = (
        reduce(DataFrame.unionByName, parts) for parts in zip(*(r[1:] for r in waves), strict=True)
    )
    judged, not_best = aim.best(drafts, conf)
    judged = stage.store(judged)
    generator = model_of_role(stage.config, "generator")
    stage.write("control", _controls(stage, plan, seeds, generator), f"stage = '{stage.name}'")
    stage.write("annotation", labels, f"item_table = '{ItemTable.DRAFT}'")
    stage.write("measured", aim.as_measured(judged))
    kept = stage.write("draft", aim.as_drafts(judged))
    if shown := difficulty.collect(stage.warehouse):
        log_texts({"difficulty/transitions.svg": difficulty.figure(shown["aims"])})
    rejected = stage.reject(rejects.unionByName(not_best))
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
    answered = stage.store(refine.votes(drawn, asked, complete(stage, asked, generator), tokens))
    made = stage.store(controls.make(answered, seeds, stage.read("held_out"), conf.controls))
    return controls.after(made, stage.name, fitness.rejects(made, seeds, conf.clean, stage.name))


if __name__ == "__main__":
    submit("synthesize")
