from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
import torch

from worker.classifier.hardware import choose_hardware
from worker.errors import SettingsError


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretends that there are GPUs: `gpus(count, major)`."""

    def pretend(count: int, major: int = 9) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (major, 0))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Fast GPU")

    return pretend


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:3"])
def test_names_the_setting_where_there_is_no_gpu(gpus: Any, device: str) -> None:
    gpus(0)

    with pytest.raises(SettingsError, match=f"WORKER_DEVICE={device}: .*no CUDA device"):
        choose_hardware(device)


def test_says_how_many_gpus_there_are(gpus: Any) -> None:
    gpus(2)

    with pytest.raises(SettingsError, match=r"WORKER_DEVICE=cuda:2: .*only 2 CUDA devices"):
        choose_hardware("cuda:2")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "CPU", ""])
def test_refuses_other_names(device: str) -> None:
    with pytest.raises(SettingsError, match="none of auto, cpu, cuda"):
        choose_hardware(device)


@pytest.mark.parametrize(
    ("device", "count", "chosen"),
    [
        ("auto", 0, "cpu"),
        ("cpu", 2, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cuda", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_picks_a_device(gpus: Any, device: str, count: int, chosen: str) -> None:
    gpus(count)

    assert str(choose_hardware(device).device) == chosen


@pytest.mark.parametrize(
    ("major", "dtype", "words"),
    [
        (9, torch.bfloat16, "bf16"),
        (8, torch.bfloat16, "bf16"),
        (7, torch.float16, "fp16"),
        (6, torch.float32, "fp32"),
    ],
)
def test_a_gpu_gets_what_it_computes_fast(
    gpus: Any, major: int, dtype: torch.dtype, words: str
) -> None:
    gpus(1, major)

    hardware = choose_hardware("auto")

    assert hardware.dtype == dtype
    assert str(hardware) == f"cuda:0 (Fast GPU, {words})"


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx512_f": True, "avx512_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"neon": True, "bf16": True}, torch.bfloat16),
        ({}, torch.float32),
    ],
)
def test_a_cpu_gets_bf16_only_where_it_computes_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType(capabilities))

    assert choose_hardware("cpu").dtype == dtype
