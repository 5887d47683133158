"""forecast: ratios of what was measured, and an interval that holds what comes."""

import random

import pytest

from boostqa.forecast import Cost, Measured, Total, forecast, gpu_hours, requests_for, together


def total(*values):
    return Total(float(sum(values)), float(sum(v * v for v in values)))


def cost(stage, per, generated, model="m"):
    return Cost(stage, model, per, total(*[1] * len(generated)), total(*[100] * len(generated)), total(*generated))


ROUND = Measured(
    1, 50, 10, 100, total(*[200] * 10),
    (cost("synthesize", "request", [80] * 60), cost("annotate", "seed", [2] * 20), cost("refine", "round", [50] * 4)),
)  # fmt: skip


def middles(parts):
    return {p.stage: (p.requests.middle, p.generated_tokens.middle) for p in parts}


def test_what_a_request_costs_grows_with_the_tokens_seeds_only_when_those_there_are_used_up():
    assert middles(forecast(ROUND, 4000)) == {"annotate": (0, 0), "refine": (4, 200), "synthesize": (120, 9600)}
    far = middles(forecast(ROUND, 200_000))  # 5,000 requests: 500 seeds, 10 are labelled
    assert far["annotate"] == (20 * 49, 40 * 49) and far["refine"] == (4, 200)
    assert requests_for(ROUND, 4000).middle == 100
    [part] = [p for p in forecast(ROUND, 4000) if p.stage == "synthesize"]
    assert part.generated_tokens.low < 9600 < part.generated_tokens.high
    assert gpu_hours(part, prompt_rate=12_000, generated_rate=4800, gpus=2).middle == pytest.approx(3 * 2 / 3600)


def test_rounds_add_up_and_labels_of_seeds_are_paid_once():
    both = together([ROUND, ROUND._replace(seeds=20, questions=200)])
    assert (both.rounds, both.requests, both.seeds, both.questions, both.kept.sum) == (2, 100, 20, 200, 4000)
    assert {c.stage: c.generated_tokens.sum for c in both.costs} == {"synthesize": 9600, "annotate": 40, "refine": 400}
    assert middles(forecast(both, 4000))["refine"] == (4, 200)  # of one more round
    with pytest.raises(ValueError, match="nothing was kept"):
        forecast(ROUND._replace(kept=Total()), 1000)


def test_eight_of_ten_intervals_hold_what_a_larger_run_takes():
    """Seeds whose requests succeed together; what is kept and what is generated are skewed, as they are."""
    draw = random.Random(3)

    def run(seeds):
        kept, generated = [], []
        for _ in range(seeds):
            good = draw.random() ** 2
            of_seed = [draw.random() < good for _ in range(4)]
            kept.append(sum(draw.expovariate(1 / 120) for ok in of_seed if ok))
            generated += [draw.expovariate(1 / 150) for _ in of_seed for _ in range(2 if draw.random() < 0.2 else 1)]
        return Measured(1, 4 * seeds, seeds, 4 * seeds, total(*kept), (cost("synthesize", "request", generated),))

    held = 0
    for _ in range(100):
        pilot, actual = run(40), run(400)
        [said] = forecast(pilot, actual.kept.sum)
        held += said.generated_tokens.low <= actual.costs[0].generated_tokens.sum <= said.generated_tokens.high
    assert 75 <= held <= 97
