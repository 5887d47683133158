"""The seed stage on input made to do harm (tests/hostile.py)."""

import re
import time

from tokenizers import Tokenizer, models, pre_tokenizers

from boostqa.config import Seed, Source
from boostqa.schemas import SEED
from boostqa.sources import read_records
from boostqa.stages import seed
from boostqa.storage.warehouse import violations
from tests import hostile
from udfs.text import INVISIBLE

FIELDS = {"doc_id": "id", "lang": "lang", "licence": "licence", "attribution": "by"}


def test_hostile_rows_are_kept_or_rejected_with_a_reason_that_is_text(spark, tmp_path):
    lines = {"document": hostile.documents(), "qa": hostile.questions()}
    for kind, content in lines.items():
        (tmp_path / f"{kind}.jsonl").write_bytes(b"\n".join(content) + b"\n")
    fields = {"document": FIELDS | {"text": "t"}, "qa": FIELDS | {"question": "t", "choices": "o", "answer": "a"}}
    sources = [
        Source(name=kind, path=str(tmp_path / f"{kind}.jsonl"), kind=kind, fields=fields[kind], answers="label")
        for kind in lines
    ]
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>", "</s>"])
    conf = Seed(sources=sources, licences=["MIT", "CC-BY-4.0"])
    began = time.monotonic()
    records = read_records(spark, sources[0]).unionByName(read_records(spark, sources[1])).persist()
    probes = spark.createDataFrame([], "question string")
    judged = seed.judged(records, probes, conf, tokenizer.to_str()).persist()
    kept, rejects = seed.split_kept_and_rejected(judged)
    assert violations(kept, SEED) == []
    seeds, rejected = kept.toPandas(), rejects.toPandas()
    seconds = time.monotonic() - began
    blank = {kind: sum(not line.strip() for line in content) for kind, content in lines.items()}
    wanted = {(kind, n) for kind, content in lines.items() for n in range(1, len(content) + 1)}
    ends = {(r.source, r.line) for r in seeds.itertuples()}
    dropped = {tuple(re.fullmatch(r"(\w+):.*:(\d+)(?:#\d+)?", key).groups()) for key in rejected["key"]}
    ends |= {(source, int(line)) for source, line in dropped}
    assert len(wanted) > 300 and not any(blank.values()) and ends == wanted
    assert records.count() == len(wanted) and not rejected["evidence"].isna().any()
    assert set(rejected["rule"]) <= {rule.name for rule in seed.RULES} and len(set(rejected["rule"])) >= 10
    columns = [c for c, kind in kept.dtypes if kind == "string"]
    texts = [
        "\n".join([*(str(row[c]) for c in columns), *(row["choices"] if row["choices"] is not None else [])])
        for _, row in seeds.iterrows()
    ]
    assert len(texts) > 100 and [t for t in texts if re.search(INVISIBLE, t.replace("<\u2060", "<"))] == []
    assert [t for t in texts if {1, 2, 3} & set(tokenizer.encode(t).ids)] == []
    assert seconds < 300, seconds
