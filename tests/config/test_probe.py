"""The section of the probe: checkpoints and how they are named."""

import pytest

from boostqa import config
from boostqa.errors import ConfigError
from tests.processes import DEMO


def test_checkpoint_is_an_id_alone_or_with_the_tokens_it_has_seen():
    both = "probe.checkpoints=[owner/first, {id: owner/second, tokens_seen: 20000000000}]"
    found = config.load(DEMO, [both])
    assert [(c.id, c.tokens_seen) for c in found.probe.checkpoints] == [
        ("owner/first", None),
        ("owner/second", 20_000_000_000),
    ]
    assert [model.id for model in found.checkpoints()] == ["owner/first", "owner/second"]


@pytest.mark.parametrize(
    ("checkpoints", "why"),
    [
        ("[a/b, c/d, a/b]", "each checkpoint once, got a/b twice"),
        ("[{id: a/b, tokens_seen: 30}, c/d, {id: e/f, tokens_seen: 20}]", "tokens_seen grows, got 30, 20"),
    ],
)
def test_checkpoints_that_come_twice_or_back_to_front_are_a_mistake(checkpoints, why):
    with pytest.raises(ConfigError, match=f"probe.checkpoints: .*{why}"):
        config.load(DEMO, [f"probe.checkpoints={checkpoints}"])
