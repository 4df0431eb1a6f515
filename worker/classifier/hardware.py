"""What the model runs on, and what suits it."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Final

import torch

from worker.classifier.interface import BatchPolicy
from worker.errors import SettingsError

_DEVICE: Final = re.compile(r"auto|cpu|cuda(:\d+)?")
# The CPU computes bf16 itself: AVX512-BF16 or AMX on x86, the bf16 extension on Arm.
_CPU_BF16: Final = ("avx512_bf16", "amx_bf16", "bf16")
_DTYPES: Final = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}


@dataclass(frozen=True, slots=True)
class Hardware:
    """A device and the figures that suit it.

    Attributes:
        device: Where the model runs.
        dtype: What its encoder computes in.
        policy: The micro-batches.
        chunk_tokens: Tokens of a forward pass, padding included.
        multiple: Rows are padded to a multiple of this.
    """

    device: torch.device
    dtype: torch.dtype
    policy: BatchPolicy
    chunk_tokens: int
    multiple: int

    def __str__(self) -> str:
        name = _DTYPES.get(self.dtype, str(self.dtype))
        if self.device.type == "cuda":
            return f"{self.device} ({torch.cuda.get_device_name(self.device)}, {name})"
        return f"{self.device} ({name})"


def choose_hardware(device: str) -> Hardware:
    """Picks device, arithmetic and batch sizes.

    A CPU works best on small chunks that fit its caches, with next to no padding; the larger the
    micro-batch, the more rows of one length it finds. A GPU wants large chunks of few shapes.

    Args:
        device: `auto` (the first GPU, or else the CPU), `cpu`, `cuda` or `cuda:N`.

    Raises:
        SettingsError: There is no such device.
    """
    if _DEVICE.fullmatch(device) is None:
        raise SettingsError(f"WORKER_DEVICE={device}: is none of auto, cpu, cuda and cuda:N.")
    count = 0 if device == "cpu" else _count_gpus()
    if device == "cpu" or (device == "auto" and count == 0):
        return Hardware(
            device=torch.device("cpu"),
            dtype=torch.bfloat16 if cpu_computes_bf16() else torch.float32,
            policy=BatchPolicy(tokens=8_192, posts=256, linger_s=0.2),
            chunk_tokens=1_024,
            multiple=2,
        )
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        found = f"only {count} CUDA device{'s'[: count != 1]}" if count else "no CUDA device"
        raise SettingsError(
            f"WORKER_DEVICE={device}: torch {torch.__version__} sees {found} here. Use auto or "
            "cpu, or check the driver, that the container was given the GPU, and that torch is a "
            "CUDA build."
        )
    return Hardware(
        device=torch.device("cuda", index),
        dtype=_cuda_dtype(index),
        policy=BatchPolicy(tokens=32_768, posts=1_024, linger_s=0.05),
        chunk_tokens=32_768,
        multiple=8,
    )


def _count_gpus() -> int:
    with warnings.catch_warnings():
        # A driver that does not fit is said in our words, where a GPU was asked for.
        warnings.simplefilter("ignore")
        return torch.cuda.device_count() if torch.cuda.is_available() else 0


def cpu_computes_bf16() -> bool:
    """Whether this processor has instructions for bf16."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _CPU_BF16)


def _cuda_dtype(index: int) -> torch.dtype:
    # bf16 came with Ampere (compute capability 8.0); fp16 is fast from Volta (7.0) on.
    major, _ = torch.cuda.get_device_capability(index)
    if major >= 8:
        return torch.bfloat16
    return torch.float16 if major >= 7 else torch.float32
