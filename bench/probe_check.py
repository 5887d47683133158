"""The probe's scores against an independent scorer: transformers' own log-likelihoods in float32, on the same prompts.

    python bench/probe_check.py bench_mmlu.jsonl.gz bench_arc_challenge.jsonl.gz     # 200 items of all, some minutes

Each line of a file is a JSON object with id, question, choices, answer and lang. Our side is what job 3 does: requests,
ledger, vLLM, picks. The other side is a plain loop: one text at a time, no cache, no batch; the tokens of a continuation
are those of prompt + continuation behind as many as the prompt has (as lm-evaluation-harness has it). Printed for each
method: items, those with the same choice, relative differences of the log-likelihoods, accuracy by each scorer. The exit
code is 1 where fewer than 99% of the choices are the same or a log-likelihood differs by more than 1e-2.
"""

import argparse
import json
import sys
import tempfile
from functools import reduce
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
MODEL = ".cache/models/SmolLM2-135M-Instruct"
SAME_CHOICE, RELATIVE = 0.99, 1e-2  # what is asked of the two scorers
FIELDS = {name: name for name in ("id", "question", "choices", "answer", "lang")}


class Independent:
    """Log-likelihoods by transformers."""

    def __init__(self, model: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(
            1
        )  # short texts: threads that wait for each other on a busy machine cost more than they give
        self.torch, self.tokenizer = torch, AutoTokenizer.from_pretrained(model)
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()

    def _logprobs(self, ids: list[int], last: int) -> Any:
        """Of the token after each of the last positions, [last, vocabulary]."""
        with self.torch.inference_mode():
            logits = self.model(self.torch.tensor([ids]), logits_to_keep=last).logits[0]
            return self.torch.log_softmax(logits.double(), dim=-1)

    def letters(self, prompt: str, letters: list[str]) -> dict[str, float]:
        """Log-probability of each letter as the next token."""
        [row] = self._logprobs(self.tokenizer.encode(prompt), 1)
        tokens = {x.strip(): self.tokenizer.encode(x, add_special_tokens=False) for x in letters}
        return {letter: float(row[token]) for letter, [token] in tokens.items()}

    def continuation(self, prompt: str, text: str) -> float:
        """Log-probability of `text` after the prompt."""
        ids, start = self.tokenizer.encode(prompt + text), len(self.tokenizer.encode(prompt))
        rows = self._logprobs(ids[:-1], len(ids) - start)
        return sum(float(row[token]) for row, token in zip(rows, ids[start:], strict=True))


def ours(files: list[str], count: int, model: str, warehouse: str) -> tuple[list[Any], dict[str, list[Any]]]:
    """Items and, by method, their requests with what the engine said of each."""
    from pyspark.sql import functions as F
    from pyspark.sql.dataframe import DataFrame

    from boostqa import config
    from boostqa.calls.generation import complete
    from boostqa.calls.models import model_of_role
    from boostqa.session import spark_session
    from boostqa.sources import read_items
    from boostqa.stages import probe
    from boostqa.storage.warehouse import Warehouse
    from boostqa.tracking.stage_run import StageRun

    settings = [f"model.generator={model}", f"warehouse={warehouse}", "engine.dtype=float32"]
    conf = config.load(str(ROOT / "conf/demo.yaml"), settings)
    spark = spark_session("probe_check", "local[2]", conf.spark.conf | {"spark.ui.enabled": "false"})
    share = -(-count // len(files))
    sources = [
        config.Source(name=Path(f).name.split(".")[0], path=f, kind="qa", fields=FIELDS, limit=share) for f in files
    ]
    read = reduce(DataFrame.unionByName, [read_items(spark, source) for source in sources])
    read = read.withColumn("item_id", F.concat_ws("/", "benchmark", "item_id"))
    items, _ = probe.usable(read, ["letter", "cloze"])
    items = items.orderBy(F.xxhash64("item_id"), "item_id").limit(count).persist()
    stage = StageRun(spark, conf, "probe", "check", Warehouse(spark, conf.warehouse))
    spec = model_of_role(conf, "generator")
    requests = {"letter": probe.letter_requests(items, spec), "cloze": probe.cloze_requests(items, spec)}
    merged = reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), requests.values())
    completions = complete(stage, merged, spec)
    picked = {"letter": probe.letter_picks, "cloze": probe.cloze_picks}
    said = completions.select("request_id", "logprob", "choice_logprobs", "cached_tokens")
    rows = {}
    for method, asked in requests.items():
        picks = picked[method](asked, completions).select("item_id", "pick")
        rows[method] = asked.join(said, "request_id", "inner").join(picks, "item_id", "inner").collect()
    found = items.select("item_id", "answer", "choices").collect()
    spark.stop()
    return found, rows


def compared(method: str, items: list[Any], rows: list[Any], other: Independent) -> tuple[list[str], bool]:
    """A line of the table, and whether the two scorers agree."""
    pairs: list[tuple[float, float]] = []  # log-likelihood of ours, of the other
    rates: dict[str, dict[str, float]] = {}  # item -> letter -> what the other scorer chooses by
    for row in rows:
        if method == "letter":
            found = other.letters(row["prompt"], json.loads(row["structured"])["letters"])
            pairs += [(row["choice_logprobs"][letter], value) for letter, value in found.items()]
            rates[row["item_id"]] = found
        else:
            value = other.continuation(row["prompt"], row["continuation"])
            pairs.append((row["logprob"], value))
            letter = chr(ord("A") + row["option"])
            rates.setdefault(row["item_id"], {})[letter] = value / len(row["continuation"])
    picks = {row["item_id"]: row["pick"] for row in rows}
    theirs = {item: max(found, key=lambda x: (found[x], -ord(x))) for item, found in rates.items()}
    answers = {item["item_id"]: item["answer"] for item in items}
    same = sum(picks[i] == theirs[i] for i in answers) / len(answers)
    apart = sorted(abs(a - b) / abs(b) for a, b in pairs)
    accuracy = [sum(who[i] == answer for i, answer in answers.items()) / len(answers) for who in (picks, theirs)]
    cached = sum(row["cached_tokens"] for row in rows)
    figures = [f"{len(answers)}", f"{same:.1%}", f"{len(pairs)}", f"{apart[len(apart) // 2]:.1e}", f"{apart[-1]:.1e}"]
    line = [method, *figures, *(f"{a:.3f}" for a in accuracy), f"{cached}"]
    return line, same >= SAME_CHOICE and apart[-1] <= RELATIVE


def main() -> int:
    """Score, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="JSON Lines with id, question, choices, answer, lang")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--model", default=MODEL, help="folder or Hugging Face id")
    parser.add_argument("--warehouse", help="folder to keep: another call finds the scores in its ledger")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="probe-check-") as folder:
        items, rows = ours(args.files, args.items, args.model, args.warehouse or f"{folder}/warehouse")
    other = Independent(args.model)
    names = ("items", "same choice", "likelihoods", "median apart", "most apart", "accuracy", "theirs", "cached tokens")
    grid, agree = Table("method", *names, title=f"{args.model}, float32, against transformers"), True
    for method, own in rows.items():
        line, good = compared(method, items, own, other)
        grid.add_row(*line)
        agree &= good
    Console(width=140).print(grid)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
