"""Job 6, refine: a second model answers blind; agreement decides, then the solution is rewritten. Controls go the same
way, and show what the voter and the judge are worth before either is believed."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from boostqa.calls.generation import complete
from boostqa.calls.models import ModelSpec, model_of_role, target_tokenizer
from boostqa.control_tokens import control_tokens
from boostqa.pipeline import submit
from boostqa.schemas import DRAFT
from boostqa.stages import controls, power, refine
from boostqa.tracking.stage_run import StageRun

READS = ("draft", "control")
WRITES = ("refined", "control", "power", "reject")


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    drafts, conf, refiner = stage.read("draft"), stage.config.refine, model_of_role(stage.config, "refiner")
    known = stage.store(controls.travelling(stage.read("control", required=False), "synthesize"))
    tokens = control_tokens(target_tokenizer(stage.config)).values()
    items = drafts.unionByName(known.select(*DRAFT.schema.names))
    blind = refine.blind_requests(items, refiner, conf)
    votes = stage.store(refine.votes(items, blind, complete(stage, blind, refiner), tokens))
    pairs = stage.store(refine.judge_requests(power.known_pairs(known), refiner))
    known = stage.store(controls.charged(known, pairs))
    trusted = _measured(stage, votes, known, pairs, refiner)
    undecided = refine.undecided(votes).where(F.lit(power.judge_is_trusted(trusted)))
    judgements = refine.judge_requests(undecided, refiner)
    answered = complete(stage, judgements, refiner)
    decided, disputed = refine.decide(votes, judgements, answered, power.voter_is_trusted(trusted))
    decided = stage.store(decided)
    rewrites = refine.rewrite_requests(decided, refiner, conf)
    refined, empty = refine.finish(decided, rewrites, complete(stage, rewrites, refiner), tokens)
    refined, rejects = stage.store(refined), stage.store(disputed.unionByName(empty))
    stage.write("control", controls.refined(known, refined, rejects), "stage = 'refine'")
    kept = stage.write("refined", controls.without(refined, known))
    dropped = stage.reject(controls.without(rejects, known, "key"))
    stage.check_row_balance(drafts.count(), kept, dropped)


def _measured(stage: StageRun, votes: DataFrame, known: DataFrame, pairs: DataFrame, refiner: ModelSpec) -> list[dict]:
    """Try the judge on known pairs, write what voter and judge are worth, and return it as POWER rows."""
    judged = power.judge_power(pairs, refine.judgements(complete(stage, pairs, refiner)))
    checks = f"check in ('{power.VOTER}', '{power.JUDGE}')"
    stage.write("power", power.voter_power(votes, known).unionByName(judged), checks)
    return [row.asDict() for row in stage.read_back("power").where(checks).collect()]


if __name__ == "__main__":
    submit("refine")
