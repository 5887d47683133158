"""Job 6, refine: draft -> refined, reject. A second model answers blind; agreement decides, then the solution is rewritten."""

from boostqa.generation import complete
from boostqa.line import submit
from boostqa.lineage import StageRun
from boostqa.stages import refine


def main(stage: StageRun) -> None:
    """Read, call the stage, write, state the account."""
    drafts, conf, refiner = stage.read("draft"), stage.config.refine, stage.speaker("refiner")
    asked = refine.blind_requests(drafts, refiner, conf)
    votes = refine.votes(drafts, asked, complete(stage, asked, refiner)).persist()
    judged = refine.judge_requests(votes, refiner)
    decided, rejects = refine.decide(votes, judged, complete(stage, judged, refiner))
    decided = decided.persist()
    rewrites = refine.rewrite_requests(decided, refiner, conf)
    kept = stage.write("refined", refine.finish(decided, rewrites, complete(stage, rewrites, refiner)))
    stage.account(drafts.count(), kept, stage.reject(rejects))


if __name__ == "__main__":
    submit("refine")
