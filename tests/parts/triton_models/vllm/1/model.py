"""Repeats the prompt's words over and over, one a token, as Triton's vLLM back end would send them.

Each response holds new text only; a request whose client has left is aborted. A prompt of "?" is
answered with the sampling parameters that arrived, as JSON.
"""

import json
import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
_TOKEN_SECONDS = 0.01
_CONTEXT = 1000
_KNOWN = {
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "presence_penalty",
    "frequency_penalty", "repetition_penalty", "logit_bias", "logprobs", "structured_outputs", "lora_name",
}  # fmt: skip


class TritonPythonModel:
    def initialize(self, args):
        self._names = [tensor["name"] for tensor in json.loads(args["model_config"])["input"]]
        family = pb_utils.MetricFamily(
            name="nv_trt_llm_request_metrics", description="running", kind=pb_utils.MetricFamily.GAUGE
        )
        self._family, self._gauge = family, family.Metric(labels={"model": args["model_name"]})

    def execute(self, requests):
        for request in requests:
            given = {}
            for name in self._names:
                tensor = pb_utils.get_input_tensor_by_name(request, name)
                if tensor is not None:
                    value = tensor.as_numpy()[0]
                    given[name] = value.decode() if isinstance(value, bytes) else bool(value)
            threading.Thread(target=self._answer, args=(request.get_response_sender(), given)).start()

    def _answer(self, sender, given):
        self._gauge.increment(1)
        try:
            self._run(sender, given)
        finally:
            self._gauge.increment(-1)

    def _run(self, sender, given):
        sampling = json.loads(given.get("sampling_parameters", "{}"))
        words = given["text_input"].split(" ")
        if sampling.keys() - _KNOWN:
            _fail(
                sender, "Error generating stream: Unexpected keyword argument", pb_utils.TritonError.INTERNAL
            )
            return
        if len(words) > _CONTEXT:
            message = (
                f"The prompt (length {len(words)}) is longer than the maximum model length of {_CONTEXT}."
            )
            _fail(sender, f"Error generating stream: {message}", pb_utils.TritonError.INTERNAL)
            return
        prompt_tokens = len(words)
        if words == ["?"]:
            words, sampling = [json.dumps(sampling)], {"max_tokens": 1}
        most, text, sent, told = sampling.get("max_tokens", 16), "", 0, 0
        for place in range(most):
            if sender.is_cancelled():
                _fail(sender, "Request was cancelled", pb_utils.TritonError.CANCELLED)
                return
            time.sleep(_TOKEN_SECONDS)
            text += ("" if place == 0 else " ") + words[place % len(words)]
            ends = [text.index(stop) for stop in sampling.get("stop", []) if stop in text]
            if ends:
                text = text[: min(ends)]
            last = bool(ends) or place == most - 1
            if given.get("stream") or last:
                reason = ("stop" if ends else "length") if last else "None"
                piece, count = text[sent:], place + 1 - told
                sent, told = len(text), place + 1
                self._send(sender, given, piece, count, prompt_tokens, reason)
            if last:
                break
        sender.send(flags=_FINAL)

    def _send(self, sender, given, piece, count, prompt_tokens, reason):
        def text(name, value):
            return pb_utils.Tensor(name, np.array([value.encode()], dtype=np.object_))

        tensors = [text("text_output", piece)]
        if given.get("return_finish_reason"):
            tensors.append(text("finish_reason", reason))
        if given.get("return_num_input_tokens"):
            tensors.append(pb_utils.Tensor("num_input_tokens", np.array([prompt_tokens], dtype=np.uint32)))
        if given.get("return_num_output_tokens"):
            tensors.append(pb_utils.Tensor("num_output_tokens", np.array([count], dtype=np.uint32)))
        if given.get("return_logprobs"):
            other = {"logprob": -2.0, "rank": 1, "decoded_token": "other"}
            taken = {"logprob": -2.5, "rank": 2, "decoded_token": piece}
            tensors.append(text("logprobs", json.dumps([{"7": taken, "9": other}] * count)))
        sender.send(pb_utils.InferenceResponse(output_tensors=tensors))


def _fail(sender, message, code):
    sender.send(
        pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(message, code)), flags=_FINAL
    )
