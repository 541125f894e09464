"""Repeats the prompt's words over and over, one a token, as TensorRT-LLM's LLM-API model would send them.

Each response holds the whole text so far. Like older releases it does not see that a client has left:
only a second request of the same id with `stop` ends the first. A prompt of "?" is answered with the
sampling parameters that arrived, as JSON.
"""

import json
import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
_TOKEN_SECONDS = 0.01
_CONTEXT = 1000


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self._names = [tensor["name"] for tensor in config["input"]]
        self._decoupled = pb_utils.using_decoupled_model_transaction_policy(config)
        family = pb_utils.MetricFamily(
            name="nv_trt_llm_request_metrics", description="running", kind=pb_utils.MetricFamily.GAUGE
        )
        self._family, self._gauge = family, family.Metric(labels={"model": args["model_name"]})
        self._stopped = {}

    def execute(self, requests):
        for request in requests:
            given = {}
            for name in self._names:
                tensor = pb_utils.get_input_tensor_by_name(request, name)
                if tensor is not None:
                    values = [v.decode() if isinstance(v, bytes) else v for v in tensor.as_numpy().tolist()]
                    given[name] = values if name == "sampling_param_stop" else values[0]
            sender, key = request.get_response_sender(), request.request_id()
            if given.get("stop"):
                if key in self._stopped:
                    self._stopped[key].set()
                _fail(sender, "Request cancelled by client", pb_utils.TritonError.CANCELLED)
                continue
            self._stopped[key] = threading.Event()
            threading.Thread(target=self._answer, args=(sender, given, key)).start()

    def _answer(self, sender, given, key):
        self._gauge.increment(1)
        try:
            self._run(sender, given, self._stopped[key])
        finally:
            del self._stopped[key]
            self._gauge.increment(-1)

    def _run(self, sender, given, stopped):
        words = given["text_input"].split(" ")
        if len(words) > _CONTEXT:
            message = (
                f"Error generating request: The sum of prompt length ({len(words)}) exceeds max_num_tokens"
            )
            _fail(sender, message, pb_utils.TritonError.INTERNAL)
            return
        if given.get("streaming") and not self._decoupled:
            _fail(sender, "Streaming is only supported in decoupled mode.", pb_utils.TritonError.INTERNAL)
            return
        if words == ["?"]:
            words = [json.dumps({name: value for name, value in given.items() if name != "text_input"})]
            given |= {"sampling_param_max_tokens": 1, "sampling_param_stop": []}
        most = given.get("sampling_param_max_tokens", 32)
        text, reason = "", "length"
        for place in range(most):
            if stopped.is_set():
                _fail(sender, "Request cancelled by client", pb_utils.TritonError.CANCELLED)
                return
            time.sleep(_TOKEN_SECONDS)
            text += ("" if place == 0 else " ") + words[place % len(words)]
            ends = [text.index(stop) for stop in given.get("sampling_param_stop", []) if stop in text]
            if ends:
                text, reason = text[: min(ends)], "stop"
                break
            if given.get("streaming") and place < most - 1:
                self._send(sender, given, text, "None", 0)
        self._send(sender, given, text, reason, _FINAL)

    def _send(self, sender, given, text, reason, flags):
        tensors = [pb_utils.Tensor("text_output", np.array([text.encode()], dtype=np.object_))]
        if given.get("return_finish_reason"):
            tensors.append(pb_utils.Tensor("finish_reason", np.array([reason.encode()], dtype=np.object_)))
        sender.send(pb_utils.InferenceResponse(output_tensors=tensors), flags=flags)

    def finalize(self):
        for stopped in list(self._stopped.values()):
            stopped.set()


def _fail(sender, message, code):
    sender.send(
        pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(message, code)), flags=_FINAL
    )
