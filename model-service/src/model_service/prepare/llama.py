"""The Llama architecture as an OpenVINO graph: stateful, one node for one line of the paper.

Written out rather than traced: it needs neither torch nor an exporter, takes seconds, and has the
shapes that OpenVINO GenAI turns into paged attention (rotary embedding by halves, keys and values
kept in variables, grouped heads by broadcast, scaled dot-product attention). Node names are those of
a traced model, so that adapters find their layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import opset15 as ops
from openvino.op import assign, read_value
from openvino.op.util import Variable, VariableInfo

from model_service.prepare.compress import Weights, int8_constant


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """The sizes of a Llama model, as in its configuration file."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    rms_epsilon: float
    rope_theta: float
    tied: bool


def build_llama(shape: LlamaShape, weights: Mapping[str, Weights]) -> ov.Model:
    """Make the graph from weights under their Hugging Face names, float32, linear ones int8 in the graph.

    Inputs: input_ids, attention_mask, position_ids [batch, length] i64, beam_idx [batch] i32.
    Output: logits [batch, length, vocabulary] f32.
    """
    inputs = {
        "input_ids": ops.parameter([-1, -1], ov.Type.i64, name="input_ids"),
        "attention_mask": ops.parameter([-1, -1], ov.Type.i64, name="attention_mask"),
        "position_ids": ops.parameter([-1, -1], ov.Type.i64, name="position_ids"),
        "beam_idx": ops.parameter([-1], ov.Type.i32, name="beam_idx"),
    }
    for name, node in inputs.items():
        node.output(0).get_tensor().set_names({name})
    embedding = int8_constant(weights["model.embed_tokens.weight"], "self.model.embed_tokens.weight")
    states = ops.gather(embedding, ops.convert(inputs["input_ids"], "i32"), _i32(0))
    shared = _Shared(
        shape,
        weights,
        cos_sin=_rotary(shape, inputs["position_ids"]),
        mask=_causal_mask(inputs["input_ids"], inputs["attention_mask"]),
        batch=ops.gather(ops.shape_of(inputs["input_ids"]), _i64([0]), _i64(0)),
        beam_idx=inputs["beam_idx"],
    )
    sinks: list[ov.Node] = []
    for layer in range(shape.layers):
        states = _block(shared, states, layer, sinks)
    states = _rms_norm(shared, states, "model.norm")
    head = embedding if shape.tied else int8_constant(weights["lm_head.weight"], "self.lm_head.weight")
    logits = ops.matmul(states, head, False, True, name="__module.lm_head/aten::linear/MatMul")
    logits.output(0).get_tensor().set_names({"logits"})
    model = ov.Model([ops.result(logits, name="logits")], sinks, list(inputs.values()), "llama")
    model.validate_nodes_and_infer_types()
    return model


@dataclass(frozen=True, slots=True)
class _Shared:
    """What every layer needs."""

    shape: LlamaShape
    weights: Mapping[str, Weights]
    cos_sin: tuple[ov.Node, ov.Node]
    mask: ov.Node
    batch: ov.Node
    beam_idx: ov.Node


def _i64(value: int | list[int]) -> ov.Node:
    return ops.constant(np.array(value, dtype=np.int64))


def _i32(value: int | list[int]) -> ov.Node:
    return ops.constant(np.array(value, dtype=np.int32))


def _f32(value: float) -> ov.Node:
    return ops.constant(np.array(value, dtype=np.float32))


def _rotary(shape: LlamaShape, position_ids: ov.Node) -> tuple[ov.Node, ov.Node]:
    """Cosine and sine of every position's angles: [batch, 1, length, head_dim]."""
    exponents = np.arange(0, shape.head_dim, 2, dtype=np.float32) / shape.head_dim
    inverse = (1.0 / shape.rope_theta**exponents).astype(np.float32).reshape(1, -1, 1)
    positions = ops.convert(ops.unsqueeze(position_ids, _i64(1)), "f32")
    angles = ops.transpose(ops.matmul(ops.constant(inverse), positions, False, False), _i32([0, 2, 1]))
    both = ops.concat([angles, angles], -1)
    return ops.unsqueeze(ops.cos(both), _i64(1)), ops.unsqueeze(ops.sin(both), _i64(1))


def _causal_mask(input_ids: ov.Node, attention_mask: ov.Node) -> ov.Node:
    """0 where a position may look, a large negative number elsewhere: [batch, 1, length, total]."""
    total = ops.gather(ops.shape_of(attention_mask), _i64(1), _i64(0))
    length = ops.gather(ops.shape_of(input_ids), _i64(1), _i64(0))
    keys = ops.range(_i64(0), total, _i64(1), "i64")
    queries = ops.range(ops.subtract(total, length), total, _i64(1), "i64")
    causal = ops.less_equal(ops.unsqueeze(keys, _i64(0)), ops.unsqueeze(queries, _i64(1)))
    padding = ops.unsqueeze(ops.convert(attention_mask, "boolean"), _i64([1, 2]))
    allowed = ops.logical_and(ops.unsqueeze(causal, _i64([0, 1])), padding)
    return ops.select(allowed, _f32(0.0), _f32(-65504.0))


def _linear(shared: _Shared, states: ov.Node, name: str) -> ov.Node:
    weight = int8_constant(shared.weights[f"{name}.weight"], f"self.{name}.weight")
    return ops.matmul(states, weight, False, True, name=f"__module.{name}/aten::linear/MatMul")


def _rms_norm(shared: _Shared, states: ov.Node, name: str) -> ov.Node:
    weight = shared.weights[f"{name}.weight"].reshape(1, 1, -1)
    square = ops.power(states, ops.constant(np.full((1, 1, 1), 2.0, np.float32)))
    mean = ops.reduce_mean(square, _i64([-1]), keep_dims=True)
    epsilon = ops.constant(np.full((1, 1, 1), shared.shape.rms_epsilon, np.float32))
    root = ops.sqrt(ops.add(mean, epsilon))
    inverse = ops.divide(ops.constant(np.ones((1, 1, 1), np.float32)), root)
    return ops.multiply(ops.constant(weight), ops.multiply(states, inverse))


def _heads(shared: _Shared, states: ov.Node, heads: int) -> ov.Node:
    """[batch, length, heads * head_dim] -> [batch, heads, length, head_dim]."""
    split = ops.reshape(states, _i64([0, 0, heads, shared.shape.head_dim]), special_zero=True)
    return ops.transpose(split, _i32([0, 2, 1, 3]))


def _rotate(shared: _Shared, states: ov.Node) -> ov.Node:
    cos, sin = shared.cos_sin
    half = shared.shape.head_dim // 2
    last, one, end = _i64([3]), _i64([1]), _i64([np.iinfo(np.int64).max])
    front = ops.slice(states, _i64([0]), _i64([half]), one, last)
    back = ops.slice(states, _i64([half]), end, one, last)
    turned = ops.concat([ops.multiply(back, _f32(-1.0)), front], -1)
    return ops.add(ops.multiply(states, cos), ops.multiply(turned, sin))


def _remember(shared: _Shared, states: ov.Node, layer: int, kind: str, sinks: list[ov.Node]) -> ov.Node:
    """All keys or values so far, this step's included: [batch, kv_heads, total, head_dim]."""
    heads, width = shared.shape.kv_heads, shared.shape.head_dim
    empty = ops.broadcast(_f32(0.0), ops.concat([shared.batch, _i64([heads]), _i64([0]), _i64([width])], 0))
    info = VariableInfo()
    info.variable_id = f"past_key_values.{layer}.{kind}present.{layer}.{kind}"
    info.data_type = ov.Type.f32
    info.data_shape = ov.PartialShape([-1, heads, -1, width])
    variable = Variable(info)
    past = read_value(empty.output(0), variable)
    together = ops.concat([ops.gather(past, shared.beam_idx, _i64(0)), states], -2)
    sinks.append(assign(together, variable))
    return together


def _spread(shared: _Shared, states: ov.Node) -> ov.Node:
    """Each group's key or value head, once for every query head of the group."""
    shape = shared.shape
    groups = shape.heads // shape.kv_heads
    if groups == 1:
        return states
    wide = ops.broadcast(ops.unsqueeze(states, _i64(2)), _i64([1, 1, groups, 1, 1]), None, "BIDIRECTIONAL")
    return ops.reshape(wide, _i64([0, shape.heads, -1, shape.head_dim]), special_zero=True)


def _block(shared: _Shared, states: ov.Node, layer: int, sinks: list[ov.Node]) -> ov.Node:
    shape, name = shared.shape, f"model.layers.{layer}"
    normed = _rms_norm(shared, states, f"{name}.input_layernorm")
    query = _rotate(shared, _heads(shared, _linear(shared, normed, f"{name}.self_attn.q_proj"), shape.heads))
    key = _rotate(shared, _heads(shared, _linear(shared, normed, f"{name}.self_attn.k_proj"), shape.kv_heads))
    value = _heads(shared, _linear(shared, normed, f"{name}.self_attn.v_proj"), shape.kv_heads)
    key = _spread(shared, _remember(shared, key, layer, "key", sinks))
    value = _spread(shared, _remember(shared, value, layer, "value", sinks))
    seen = ops.scaled_dot_product_attention(query, key, value, shared.mask, _f32(shape.head_dim**-0.5))
    merged = ops.reshape(
        ops.transpose(seen, _i32([0, 2, 1, 3])), _i64([0, 0, shape.heads * shape.head_dim]), special_zero=True
    )
    states = ops.add(states, _linear(shared, merged, f"{name}.self_attn.o_proj"))
    normed = _rms_norm(shared, states, f"{name}.post_attention_layernorm")
    gate = ops.swish(_linear(shared, normed, f"{name}.mlp.gate_proj"))
    wide = ops.multiply(gate, _linear(shared, normed, f"{name}.mlp.up_proj"))
    return ops.add(states, _linear(shared, wide, f"{name}.mlp.down_proj"))
