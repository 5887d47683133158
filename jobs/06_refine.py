"""Job 6, refine: a second model answers blind; agreement decides, then the solution is rewritten."""

from boostqa.calls.generation import complete
from boostqa.calls.models import model_of_role
from boostqa.pipeline import submit
from boostqa.stages import refine
from boostqa.tracking.stage_run import StageRun

READS = ("draft",)
WRITES = ("refined", "reject")


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    drafts, conf, refiner = stage.read("draft"), stage.config.refine, model_of_role(stage.config, "refiner")
    blind = refine.blind_requests(drafts, refiner, conf)
    votes = refine.votes(drafts, blind, complete(stage, blind, refiner)).persist()
    judgements = refine.judge_requests(votes, refiner)
    decided, rejects = refine.decide(votes, judgements, complete(stage, judgements, refiner))
    decided = decided.persist()
    rewrites = refine.rewrite_requests(decided, refiner, conf)
    kept = stage.write("refined", refine.finish(decided, rewrites, complete(stage, rewrites, refiner)))
    stage.check_row_balance(drafts.count(), kept, stage.reject(rejects))


if __name__ == "__main__":
    submit("refine")
