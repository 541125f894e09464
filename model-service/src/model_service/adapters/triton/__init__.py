"""Models behind a Triton Inference Server: TensorRT-LLM, vLLM, or a Python model with the same tensors."""

from model_service.adapters.triton.engine import TritonEngine

__all__ = ["TritonEngine"]
