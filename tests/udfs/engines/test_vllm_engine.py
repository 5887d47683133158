"""vllm_engine: what needs no engine."""

import pytest
import torch

from udfs.engines.vllm_engine import cpu_dtype


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [({"avx2"}, "float32"), ({"avx512_f"}, "float32"), ({"avx512_bf16"}, "bfloat16"), ({"amx_bf16"}, "bfloat16")],
)
def test_auto_dtype_of_a_cpu_is_bfloat16_only_with_instructions_for_it(monkeypatch, flags, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(flags, True))
    assert cpu_dtype() == dtype
