"""Job 5, synthesize: writes questions, then measures their difficulty."""

from boostqa.calls.generation import complete
from boostqa.calls.models import model_of_role, target_tokenizer
from boostqa.pipeline import submit
from boostqa.stages import annotate, synthesize
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import ItemTable
from udfs.control_tokens import control_tokens

READS = ("plan", "seed")
WRITES = ("draft", "annotation", "reject")


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    plan, seeds, conf = stage.read("plan"), stage.read("seed"), stage.config
    generator, annotator = model_of_role(conf, "generator"), model_of_role(conf, "annotator")
    requests = synthesize.requests(plan, seeds, generator, conf.synthesize)
    tokens = control_tokens(target_tokenizer(conf)).values()
    parsed, unusable = synthesize.parse(requests, complete(stage, requests, generator), tokens)
    parsed = parsed.persist()
    questions = annotate.requests(synthesize.as_items(parsed), stage.name, annotator, conf.annotate)
    labels, unlabelled = annotate.parse(questions, complete(stage, questions, annotator), ItemTable.DRAFT, stage.name)
    stage.write("annotation", labels, f"item_table = '{ItemTable.DRAFT}'")
    drafts, unfit = synthesize.with_difficulty(parsed, labels, unlabelled, conf.synthesize)
    kept = stage.write("draft", drafts)
    rejected = stage.reject(unusable.unionByName(unfit))
    stage.check_row_balance(plan.count(), kept, rejected)


if __name__ == "__main__":
    submit("synthesize")
