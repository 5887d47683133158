"""Tables that hold every gate, and a conf to judge them by: a test says what is other."""

from boostqa import config
from boostqa.schemas import TABLES
from tests.processes import DEMO
from tests.rows import frame

SETTINGS = (
    *("gate.max_degradation_rate=0.4", "gate.min_high_difficulty_share=0.5", "gate.max_truncation_rate=0.2"),
    *("gate.max_duplicate_rate=0.2", "gate.min_controls=null", "gate.severity={}", "gate.quarantine=false"),
    *("seed.licences=[MIT, CC-BY-4.0]", "seed.languages=[en]", "plan.tokens=5"),
)
CONF = config.load(DEMO, list(SETTINGS))
# What expectations of values want beyond the contract.
FIT = {
    "budget": {"tokens": 1, "round_tokens": 5},
    "clean": {"tokens": 9},
    "refined": {"votes": 1},
    "seed": {"tokens": 30},
    "probe": {"items": 1},
}
A, B, C, D = "a" * 64, "b" * 64, "c" * 64, "d" * 64


def conf(*settings):
    return config.load(DEMO, [*SETTINGS, *settings])


def tables(spark, **changed: list[dict]):
    one = ("seed", "annotation", "probe", "budget", "plan", "completion", "draft", "refined", "clean")
    none = ("control", "reject", "contamination", "power", "quarantine")
    found = {name: [{}] for name in one} | {name: [] for name in none} | changed
    fit = {name: [FIT.get(name, {}) | change for change in changes] for name, changes in found.items()}
    return {name: frame(spark, TABLES[name], *changes) for name, changes in fit.items()}
