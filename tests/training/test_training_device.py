"""Device names."""

from __future__ import annotations

import pytest
import torch

from skdeepclust.training import computes_in_bfloat16, fast_matmul, resolve_device
from skdeepclust.training._device import MATMUL, PRECISION, TF32

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")


def test_auto_is_cuda_where_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("available", [True, False])
def test_auto_asks_torch(monkeypatch, available):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert resolve_device("auto").type == ("cuda" if available else "cpu")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_cpu(device):
    assert resolve_device(device) == torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "cuda:-1", None])
def test_what_torch_does_not_know_is_named(device):
    with pytest.raises(
        ValueError, match=f"device={device!r} is not a torch device; expected 'auto'"
    ):
        resolve_device(device)


@pytest.mark.parametrize("device", ["meta", "mps", "xpu", torch.device("meta")])
def test_devices_of_other_kinds_are_refused(device):
    with pytest.raises(
        ValueError, match="is not supported; expected 'auto', 'cpu' or a CUDA device"
    ):
        resolve_device(device)


@without_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1", torch.device("cuda")])
def test_cuda_without_cuda(device):
    with pytest.raises(ValueError, match=r"sees 0 CUDA devices here; use device='auto'"):
        resolve_device(device)


@pytest.mark.parametrize(("device", "n_devices"), [("cuda:99", 2), ("cuda:2", 2), ("cuda:1", 1)])
def test_cuda_index_too_high(monkeypatch, device, n_devices):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_devices)
    with pytest.raises(ValueError, match=f"device='{device}' .* sees {n_devices} CUDA devices"):
        resolve_device(device)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
def test_cuda_index_within_reach(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device(device) == torch.device(device)


@pytest.mark.cuda
@needs_cuda
def test_cuda_with_cuda():
    assert resolve_device("cuda") == torch.device("cuda")
    with pytest.raises(ValueError, match="CUDA devices here"):
        resolve_device(f"cuda:{torch.cuda.device_count()}")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True, "amx_bf16": False}, False), ({"amx_bf16": True}, True), ({}, False)],
)
def test_bfloat16_is_for_cpus_that_have_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert computes_in_bfloat16(torch.device("cpu")) is expected
    assert computes_in_bfloat16(torch.device("cuda")) is False
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert computes_in_bfloat16(torch.device("cpu")) is False


def test_fast_matmul_changes_nothing_on_the_cpu():
    before = torch.get_float32_matmul_precision()
    with fast_matmul(torch.device("cpu")):
        assert torch.get_float32_matmul_precision() == before
    assert torch.get_float32_matmul_precision() == before


def test_fast_matmul_is_switched_off_again_after_an_error():
    before = getattr(MATMUL, PRECISION)
    with pytest.raises(KeyError, match=str(TF32)), fast_matmul(torch.device("cuda")):
        raise KeyError(getattr(MATMUL, PRECISION))
    assert getattr(MATMUL, PRECISION) == before != TF32


@pytest.mark.skipif(PRECISION != "fp32_precision", reason="needs torch 2.9")
@pytest.mark.parametrize("asked", ["none", "ieee", "tf32"])
def test_fast_matmul_is_for_cuda_and_leaves_what_was_asked_for(asked):
    before, cpu = MATMUL.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision
    try:
        MATMUL.fp32_precision = asked
        with fast_matmul(torch.device("cuda")):
            assert MATMUL.fp32_precision == TF32
            assert torch.backends.mkldnn.matmul.fp32_precision == cpu
        assert MATMUL.fp32_precision == asked
    finally:
        MATMUL.fp32_precision = before
