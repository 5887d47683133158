"""Does the forecast's 80% interval hold what comes? Pilots resampled from the completions of a line that was run.

    python bench/forecast.py --config conf/demo.yaml [--round main] [--pilots 10] [--share 0.3]

Each pilot is a random share of the round's seeds with all that their requests cost and left in `clean`; from it the cost of
the rest's kept tokens is forecast and set against what the rest took. Asks no model.
"""

import argparse
import hashlib
import random
from collections import defaultdict

from rich.console import Console
from rich.table import Table

from boostqa import config as conf
from boostqa.forecast import Cost, Measured, Total, forecast, requests_for
from boostqa.pipeline import warehouse
from boostqa.report.forecast import REQUEST_TABLES

Paid = dict[str, list[tuple[int, int]]]  # plan_id -> (prompt tokens read, generated tokens) of each completion


def recorded(config: conf.Config, name: str) -> tuple[dict[str, tuple[str, int]], Paid]:
    """plan_id -> (seed_id, kept tokens), and what each request cost, in the round `name`."""
    tables = warehouse(config)

    def rows(table: str, *columns: str):
        return tables.read(table).where(f"round = '{name}'").select(*columns).collect()

    kept = {r["plan_id"]: r["tokens"] for r in rows("clean", "plan_id", "tokens")}
    plan = {r["plan_id"]: (r["seed_id"], kept.get(r["plan_id"], 0)) for r in rows("plan", "plan_id", "seed_id")}
    owner = {plan_id: plan_id for plan_id in plan}
    for table in ("measured", "draft"):
        owner |= {r["draft_id"]: r["plan_id"] for r in rows(table, "draft_id", "plan_id")}
    asked = [(r["draft_id"], [r["request_id"]]) for r in rows("draft", "draft_id", "request_id")]
    for table, key in REQUEST_TABLES.items():
        asked += [(r[key], r["request_ids"] or []) for r in rows(table, key, "request_ids")]
    paid = {
        r["request_id"]: (r["prompt_tokens"] - r["cached_tokens"], r["generated_tokens"])
        for r in tables.read("completion")
        .select("request_id", "prompt_tokens", "cached_tokens", "generated_tokens")
        .collect()
    }
    found: defaultdict[str, set[str]] = defaultdict(set)
    for key, requests in asked:
        for request in requests:
            # A try that was followed by another is in no table but reject, under the hash of both.
            names = (key, *(p for p in plan if hashlib.sha256(f"{p}|{request}".encode()).hexdigest() == key))
            if of := next((owner[n] for n in names if n in owner), None):
                found[of].add(request)
    return plan, {
        p: [paid[request] for request in sorted(requests) if request in paid] for p, requests in found.items()
    }


def measured(plan: dict[str, tuple[str, int]], paid: Paid, seeds: set[str]) -> Measured:
    """What the requests of some seeds took and gave."""
    own = {p: kept for p, (seed, kept) in plan.items() if seed in seeds}
    by_seed: defaultdict[str, int] = defaultdict(int)
    for p, kept in own.items():
        by_seed[plan[p][0]] += kept
    calls = [call for p in own for call in paid.get(p, [])]
    sums = [[1] * len(calls), [read for read, _ in calls], [generated for _, generated in calls]]
    totals = [Total(float(sum(v)), float(sum(x * x for x in v))) for v in sums]
    kept = Total(float(sum(by_seed.values())), float(sum(t * t for t in by_seed.values())))
    return Measured(1, len(own), len(seeds), len(own), kept, (Cost("all", "", "request", *totals),))


def main() -> None:
    """Print, for each pilot, what was forecast and what came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--round", default="main")
    parser.add_argument("--pilots", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.3, help="of the seeds in a pilot")
    args = parser.parse_args()
    plan, paid = recorded(conf.load(args.config, args.set), args.round)
    seeds, held = sorted({seed for seed, _ in plan.values()}), [0, 0, 0]
    grid = Table("pilot", "requests, kept", "what", "forecast of the rest (80%)", "the rest", "within")
    for number in range(args.pilots):
        pilot = set(random.Random(number).sample(seeds, round(len(seeds) * args.share)))
        small, rest = measured(plan, paid, pilot), measured(plan, paid, set(seeds) - pilot)
        if not small.kept.sum or not rest.kept.sum:
            grid.add_row(
                str(number), f"{small.requests}, {small.kept.sum:.0f}", "nothing was kept: no forecast", "", "", ""
            )
            continue
        [said] = forecast(small, rest.kept.sum)
        lines = (
            ("requests", requests_for(small, rest.kept.sum), rest.requests),
            ("prompt tokens", said.prompt_tokens, rest.costs[0].prompt_tokens.sum),
            ("generated tokens", said.generated_tokens, rest.costs[0].generated_tokens.sum),
        )
        for place, (what, interval, actual) in enumerate(lines):
            within = interval.low <= actual <= interval.high
            held[place] += within
            of = f"{small.requests}, {small.kept.sum:.0f}"
            shown = f"{interval.middle:,.0f} ({interval.low:,.0f} to {interval.high:,.0f})"
            grid.add_row(str(number), of, what, shown, f"{actual:,.0f}", "yes" if within else "no")
    console = Console(width=120)
    console.print(grid)
    names = ("requests", "prompt tokens", "generated tokens")
    told = ", ".join(f"{name} {n}" for name, n in zip(names, held, strict=True))
    console.print(f"within, of {args.pilots} pilots: {told}")


if __name__ == "__main__":
    main()
