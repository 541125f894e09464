"""Weights as int8, one scale and one zero point a row: what OpenVINO's CPU plugin computes on directly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset15 as ops

Weights = npt.NDArray[np.float32]


def quantise_rows(
    weights: Weights,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    """Split weights [rows, columns] into values u8, zero points u8 [rows, 1] and scales f16 [rows, 1].

    `(values - zero_point) * scale` gives the weights back. Zero is always exact.
    """
    low = np.minimum(weights.min(axis=1, keepdims=True), 0.0)
    high = np.maximum(weights.max(axis=1, keepdims=True), 0.0)
    scale = ((high - low) / 255.0).astype(np.float16)
    # A row of zeros, or one too small for half precision, still needs a scale to divide by.
    scale = np.maximum(scale, np.finfo(np.float16).tiny)
    wide = scale.astype(np.float32)
    zero = np.clip(np.rint(-low / wide), 0, 255)
    values = np.clip(np.rint(weights / wide) + zero, 0, 255)
    return values.astype(np.uint8), zero.astype(np.uint8), scale


def int8_constant(weights: Weights, name: str) -> ov.Node:
    """A float32 node [rows, columns] computed from int8 constants."""
    values, zero, scale = quantise_rows(weights)
    stored = ops.constant(values, name=name)
    shifted = ops.subtract(
        ops.convert(stored, "f16"),
        ops.convert(ops.constant(zero, name=f"{name}/zero_point"), "f16"),
        name=f"{name}/zero_point/subtract",
    )
    scaled = ops.multiply(shifted, ops.constant(scale, name=f"{name}/scale"), name=f"{name}/fq_weights_1")
    return ops.convert(scaled, "f32", name=f"{name}/fq_weights_1/convert")
