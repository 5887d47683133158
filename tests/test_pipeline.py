"""A run of the line from outside its stages: what is written when they stop."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from boostqa import config, pipeline
from boostqa.errors import GateFailed
from tests.processes import DEMO


@pytest.mark.parametrize("error", [GateFailed("min_rows"), None])
def test_token_usage_is_written_after_the_stages_and_never_hides_why_they_stopped(spark, tmp_path, monkeypatch, error):
    def stages(*_):
        if error:
            raise error

    def usage(tables, run_id):
        written.append(run_id)
        if error:
            raise RuntimeError("no usage")
        return {}

    written = []
    fresh = SimpleNamespace(
        refuse_gaps=lambda _: None, why_not=lambda _: "it never ran here", conf_hash="", last={}, steps=[]
    )
    monkeypatch.setattr(pipeline.status, "collect", lambda _: {})
    monkeypatch.setattr(pipeline.status, "show", lambda *_: None)
    monkeypatch.setattr(pipeline, "Freshness", lambda *_: fresh)
    monkeypatch.setattr(pipeline, "preflight", lambda config: None)
    monkeypatch.setattr(pipeline, "spark_session", lambda *_: spark)
    monkeypatch.setattr(pipeline, "pipeline_mlflow_run", lambda *_: nullcontext("nowhere"))
    monkeypatch.setattr(pipeline, "log_token_usage", lambda tokens: None)
    monkeypatch.setattr(pipeline, "_run_steps", stages)
    monkeypatch.setattr(pipeline, "write_token_usage", usage)
    conf = config.load(DEMO, [f"warehouse={tmp_path}/w", f"output={tmp_path}/o"])
    with pytest.raises(GateFailed, match="min_rows") if error else nullcontext():
        pipeline.run(conf, ["gate"])
    assert len(written) == 1
