"""Job 6, refine: a second model answers blind; agreement decides, then the solution is rewritten."""

from boostqa.calls.generation import complete
from boostqa.calls.models import model_of_role, target_tokenizer
from boostqa.pipeline import submit
from boostqa.stages import refine
from boostqa.tracking.stage_run import StageRun
from udfs.control_tokens import control_tokens

READS = ("draft",)
WRITES = ("refined", "reject")


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    drafts, conf, refiner = stage.read("draft"), stage.config.refine, model_of_role(stage.config, "refiner")
    tokens = control_tokens(target_tokenizer(stage.config)).values()
    blind = refine.blind_requests(drafts, refiner, conf)
    votes = refine.votes(drafts, blind, complete(stage, blind, refiner), tokens).persist()
    judgements = refine.judge_requests(votes, refiner)
    decided, rejects = refine.decide(votes, judgements, complete(stage, judgements, refiner))
    decided = decided.persist()
    rewrites = refine.rewrite_requests(decided, refiner, conf)
    refined = refine.finish(decided, rewrites, complete(stage, rewrites, refiner), tokens)
    kept = stage.write("refined", refined)
    stage.check_row_balance(drafts.count(), kept, stage.reject(rejects))


if __name__ == "__main__":
    submit("refine")
