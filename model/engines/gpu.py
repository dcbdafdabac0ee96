"""The GPU of this machine, by NVIDIA's driver, and why there is none. Engines decide by their own libraries."""

from __future__ import annotations

import ctypes

# The device of an engine that uses no GPU.
CPU = "CPU"

_DRIVER = "libcuda.so.1"
_NAME_BYTES = 128


def gpu_name() -> str:
    """The first GPU's name, such as `NVIDIA L4`; `GPU` when the driver does not say it."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return "GPU"
    name = ctypes.create_string_buffer(_NAME_BYTES)
    known = driver.cuInit(0) == 0 and driver.cuDeviceGetName(name, _NAME_BYTES, 0) == 0
    return (known and name.value.decode(errors="replace")) or "GPU"


def why_unused() -> str:
    """Why an engine's library that could use a GPU uses none, as far as this process can see it."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError as exc:
        return f"NVIDIA's driver cannot be loaded: {exc}"
    if code := driver.cuInit(0):
        return f"NVIDIA's driver finds no GPU (CUDA error {code})"
    return "NVIDIA's driver works, so the libraries of CUDA or cuDNN are missing or do not fit it"
