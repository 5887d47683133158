"""balance: engines get equal predicted tokens, longest first, same prefixes together."""

import json

from pyspark.sql import functions as F

from boostqa.calls.balance import balance_partitions
from boostqa.schemas import COMPLETION
from tests.rows import frame


def test_engines_get_equal_tokens_longest_first_and_prefixes_stay_together(spark, requests):
    lengths = [2 ** (i % 8) * 16 for i in range(4000)]
    rows = requests(*(f"seed {i // 8:04d} " * 100 + str(n) for i, n in enumerate(lengths)))
    limit = F.regexp_extract("prompt", r"(\d+)$", 1)
    rows = rows.withColumn("sampling", F.format_string('{"max_tokens":%s}', limit))
    balanced = balance_partitions(rows, frame(spark, COMPLETION), 4).withColumn("engine", F.spark_partition_id())
    found = [(r["engine"], json.loads(r["sampling"])["max_tokens"], r["prompt"]) for r in balanced.collect()]
    loads = [sum(n + len(p) / 3 for e, n, p in found if e == engine) for engine in range(4)]
    assert len(found) == 4000 and max(loads) / min(loads) < 1.02
    for engine in range(4):
        outputs = [n for e, n, _ in found if e == engine]
        assert outputs == sorted(outputs, reverse=True)
        seeds = [(n, p[:9]) for e, n, p in found if e == engine]  # size class and prefix
        assert len([key for i, key in enumerate(seeds) if i == 0 or key != seeds[i - 1]]) == len(set(seeds))


def test_the_ledger_tells_how_much_of_the_limit_a_kind_of_request_uses(spark, requests):
    rows = requests(*"abcd").withColumn("template", F.when(F.col("prompt") < "c", "short").otherwise("long"))
    short = {"model": "m", "template": "short", "sampling": '{"max_tokens":32}', "generated_tokens": 1}
    balanced = balance_partitions(rows, frame(spark, COMPLETION, short), 1)
    assert [r["prompt"] < "c" for r in balanced.collect()] == [False, False, True, True]
