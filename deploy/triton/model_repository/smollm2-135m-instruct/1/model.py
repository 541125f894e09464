"""SmolLM2 under Triton's Python backend: many requests in one continuous batch, streamed, cancellable.

Three threads: Triton's own calls `execute` and never waits; one steps the engine; one turns tokens into
text and hands responses to Triton, so that slow hand-over never holds the engine up.
"""

import json
import os
import queue
import threading
import time
from pathlib import Path

import numpy as np
import openvino_genai as genai
import triton_python_backend_utils as pb_utils

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
_HOLD = "�"
"""What an unfinished UTF-8 sequence decodes to; such text waits for its next token."""


class Refused(Exception):
    """A request that cannot be served as it is; its words are shown to the client."""


class Answer:
    """One request on its way through the engine."""

    def __init__(self, number, sender, prompt_ids, config, *, streaming, prefix, flags):
        self.number = number
        self.sender = sender
        self.prompt_ids = prompt_ids
        self.config = config
        self.streaming = streaming
        self.prefix = prefix  # stands before the first text
        self.flags = flags
        self.handle = None
        self.ids = []  # the answer's tokens
        self.sent = 0  # where the piece before the unsent one begins
        self.pending = 0  # tokens at the end that no response has carried
        self.logprobs = []
        self.cumulative = 0.0


class TritonPythonModel:
    """Triton makes one of these a model instance."""

    def initialize(self, args):
        """Load the model; called once."""
        parameters = {
            key: value["string_value"]
            for key, value in json.loads(args["model_config"])["parameters"].items()
        }
        folder = Path(os.environ.get("SIXFOLD_TRITON_MODEL_DIR") or parameters["model_dir"])
        if not (folder / "openvino_model.xml").is_file():
            raise pb_utils.TritonModelException(f"No OpenVINO model in {folder}.")
        self._context = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
        self._check_period = int(parameters["cancellation_check_period_ms"]) / 1000
        self._folder = folder
        self._scheduler = genai.SchedulerConfig()
        self._scheduler.max_num_seqs = int(parameters["max_num_seqs"])
        self._scheduler.cache_size = int(parameters["cache_size_gb"])
        self._scheduler.enable_prefix_caching = True
        self._open()
        self._tokenizer = self._pipeline.get_tokenizer()
        self._defaults = self._pipeline.get_config()
        family = pb_utils.MetricFamily(
            name="nv_trt_llm_request_metrics",
            description="Requests inside the engine, under TensorRT-LLM's name",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        labels = {"model": args["model_name"], "version": args["model_version"]}
        self._metrics = family, family.Metric(labels={**labels, "request_type": "active"})
        self._count = 0
        self._closing = False
        self._arrivals = queue.SimpleQueue()
        self._responses = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run_engine, name="engine"),
            threading.Thread(target=self._run_responses, name="responses"),
        ]
        for thread in self._threads:
            thread.start()

    def _open(self):
        self._pipeline = genai.ContinuousBatchingPipeline(str(self._folder), self._scheduler, "CPU")

    def execute(self, requests):
        """Take requests in; answers follow through their response senders."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self._arrivals.put(self._read(request, sender))
            except Refused as refused:
                _fail(sender, str(refused), pb_utils.TritonError.INVALID_ARG)

    def finalize(self):
        """Cancel what runs and free the model."""
        self._closing = True
        self._arrivals.put(None)
        for thread in self._threads:
            thread.join()
        self._pipeline = self._tokenizer = self._defaults = self._metrics = None

    def _read(self, request, sender):
        """A request's tensors, checked, as an Answer."""

        def scalar(name):
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            return None if tensor is None else tensor.as_numpy().reshape(-1)[0]

        def words(name):
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            return [] if tensor is None else [w.decode() for w in tensor.as_numpy().reshape(-1) if w]

        prompt = scalar("text_input").decode()
        prompt_ids = self._tokenizer.encode(prompt, add_special_tokens=False).input_ids
        length, most = int(prompt_ids.shape[1]), int(scalar("max_tokens"))
        if length == 0:
            raise Refused("text_input is empty.")
        if most < 1:
            raise Refused("max_tokens must be at least 1.")
        if length >= self._context:
            raise Refused(f"Prompt length ({length}) exceeds maximum input length ({self._context - 1}).")
        config = genai.GenerationConfig()
        config.eos_token_id = self._defaults.eos_token_id
        config.stop_token_ids = self._defaults.stop_token_ids
        config.max_new_tokens = min(most, self._context - length)
        config.include_stop_str_in_output = True
        config.stop_strings = set(words("stop_words"))
        self._set_sampling(config, scalar)
        self._set_guide(config, scalar("guided_decoding_guide_type"), scalar("guided_decoding_guide"))
        flags = {
            name: bool(scalar(name))
            for name in ("return_log_probs", "return_num_input_tokens", "return_num_output_tokens")
        }
        if flags["return_log_probs"]:
            config.logprobs = 1
        self._count += 1
        streaming = bool(scalar("stream"))
        echo = not streaming and not scalar("exclude_input_in_output")
        return Answer(
            self._count,
            sender,
            prompt_ids,
            config,
            streaming=streaming,
            prefix=prompt if echo else "",
            flags=flags,
        )

    @staticmethod
    def _set_sampling(config, scalar):
        """TensorRT-LLM's rule: without top_k above 1 or top_p above 0, the likeliest token is taken."""
        temperature, top_k, top_p = scalar("temperature"), scalar("top_k") or 0, scalar("top_p") or 0.0
        if temperature is not None and temperature < 0:
            raise Refused("temperature must not be negative.")
        if not 0 <= top_p <= 1:
            raise Refused("top_p must be between 0 and 1.")
        config.do_sample = temperature != 0 and top_k != 1 and (top_k > 1 or top_p > 0)
        if config.do_sample:
            config.temperature = float(1.0 if temperature is None else temperature)
            if top_k > 0:
                config.top_k = int(top_k)
            if top_p > 0:
                config.top_p = float(top_p)
            seed = scalar("seed")
            # Without a seed, each request draws its own.
            config.rng_seed = int(seed) if seed is not None else int.from_bytes(os.urandom(4))
        for name in ("repetition_penalty", "presence_penalty", "frequency_penalty"):
            value = scalar(name)
            if value is not None:
                setattr(config, name, float(value))
        least = scalar("min_tokens")
        if least is not None:
            config.min_new_tokens = int(least)

    @staticmethod
    def _set_guide(config, kind, guide):
        """TensorRT-LLM's guided decoding: json, json_schema, regex, ebnf_grammar."""
        if kind is None:
            return
        text = guide.decode() if guide is not None else ""
        shape = genai.StructuredOutputConfig()
        match kind.decode():
            case "json":
                shape.json_schema = '{"type": "object"}'
            case "json_schema":
                shape.json_schema = text
            case "regex":
                shape.regex = text
            case "ebnf_grammar":
                shape.grammar = text
            case _:
                raise Refused("guided_decoding_guide_type must be json, json_schema, regex or ebnf_grammar.")
        config.structured_output_config = shape

    def _run_engine(self):
        """Step the engine while there is work; sleep without work; end on `finalize`."""
        running = {}
        next_check = 0.0
        told = 0
        while True:
            if len(running) != told:
                told = len(running)
                self._metrics[1].set(told)
            try:
                while True:
                    answer = self._arrivals.get(block=not running and not self._closing)
                    if answer is not None:
                        self._admit(answer, running)
            except queue.Empty:
                pass
            if self._closing:
                break
            if time.monotonic() >= next_check:
                self._drop_cancelled(running)
                next_check = time.monotonic() + self._check_period
            if not running:
                continue
            try:
                self._pipeline.step()
            except Exception as error:
                pb_utils.Logger.log_error(f"The engine failed a step: {error}")
                for answer in running.values():
                    self._responses.put((answer, [], None, "The engine failed."))
                running.clear()
                # An error inside a step, such as a schema that does not compile, leaves it unusable.
                self._open()
                continue
            for answer in list(running.values()):
                self._collect(answer, running)
        for answer in running.values():
            answer.handle.cancel()
            self._responses.put((answer, [], None, "The model is being unloaded."))
        self._responses.put(None)

    def _admit(self, answer, running):
        if answer.sender.is_cancelled():
            self._responses.put((answer, [], None, "Cancelled."))
            return
        try:
            answer.handle = self._pipeline.add_request(answer.number, answer.prompt_ids, answer.config)
        except Exception as error:
            pb_utils.Logger.log_warn(f"A request was refused by the engine: {error}")
            self._responses.put((answer, [], None, "The engine refused the request's parameters."))
            return
        running[answer.number] = answer

    def _drop_cancelled(self, running):
        for answer in [a for a in running.values() if a.sender.is_cancelled()]:
            answer.handle.cancel()
            del running[answer.number]
            self._responses.put((answer, [], None, "Cancelled."))

    def _collect(self, answer, running):
        """Hand the tokens of one step on."""
        tokens, logprobs = [], []
        while answer.handle.can_read():
            for output in answer.handle.read().values():
                tokens.extend(output.generated_ids)
                logprobs.extend(output.generated_log_probs)
        done = answer.handle.get_status() != genai.GenerationStatus.RUNNING
        if done:
            del running[answer.number]
        if tokens or done:
            self._responses.put((answer, tokens, logprobs, "" if done else None))

    def _run_responses(self):
        """Turn (answer, tokens, logprobs, end) into responses. End: None goes on, "" is done, text failed."""
        while (item := self._responses.get()) is not None:
            answer, tokens, logprobs, end = item
            try:
                if end:
                    kind = pb_utils.TritonError
                    _fail(answer.sender, end, kind.CANCELLED if end == "Cancelled." else kind.UNAVAILABLE)
                else:
                    self._respond(answer, tokens, logprobs, done=end is not None)
            except Exception as error:
                pb_utils.Logger.log_error(f"A response could not be sent: {error}")

    def _respond(self, answer, tokens, logprobs, *, done):
        answer.ids.extend(tokens)
        answer.pending += len(tokens)
        if answer.flags["return_log_probs"]:
            answer.logprobs.extend(logprobs)
        if not done and not answer.streaming:
            return
        # Decoding from a little before the unsent tokens keeps pieces right that depend on their neighbours.
        before = self._tokenizer.decode(answer.ids[answer.sent : len(answer.ids) - answer.pending])
        text = self._tokenizer.decode(answer.ids[answer.sent :])
        if text.endswith(_HOLD) and not done:
            return
        if answer.pending or done:
            response = self._response(answer, answer.prefix + text[len(before) :])
            answer.sent = len(answer.ids) - min(answer.pending, len(answer.ids))
            answer.pending = 0
            answer.sender.send(response, flags=_FINAL if done else 0)

    def _response(self, answer, text):
        tensors = [
            pb_utils.Tensor("text_output", np.array([[text.encode()]], dtype=np.object_)),
            pb_utils.Tensor("sequence_index", np.array([[0]], dtype=np.int32)),
        ]
        if answer.flags["return_num_input_tokens"]:
            count = np.array([[answer.prompt_ids.shape[1]]], dtype=np.int32)
            tensors.append(pb_utils.Tensor("num_input_tokens", count))
        if answer.flags["return_num_output_tokens"]:
            tensors.append(pb_utils.Tensor("num_output_tokens", np.array([[answer.pending]], dtype=np.int32)))
        if answer.flags["return_log_probs"]:
            answer.cumulative += sum(answer.logprobs)
            tensors.append(
                pb_utils.Tensor("cum_log_probs", np.array([[answer.cumulative]], dtype=np.float32))
            )
            tensors.append(
                pb_utils.Tensor("output_log_probs", np.array([[answer.logprobs]], dtype=np.float32))
            )
            answer.logprobs = []
        return pb_utils.InferenceResponse(output_tensors=tensors)


def _fail(sender, message, code):
    """End a request with an error."""
    error = pb_utils.TritonError(message, code)
    sender.send(pb_utils.InferenceResponse(output_tensors=[], error=error), flags=_FINAL)
