"""The engine process: owns the pipeline, steps it while there is work, sleeps when there is none.

Reads from its socket  {"add": id, "ids": [...], "config": {...}, "format": {...}}  and  {"cancel": id}.
Writes {"ready": seconds}; after every step {"rows": [[id, token ids, log-probabilities, finish]],
"kv": share}; {"refused": id} for a request that the pipeline does not take; {"failed": type} before it
gives up. Ends when the socket closes, so it never outlives the service.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai as genai
import orjson

from model_service.adapters.child import inside
from model_service.adapters.child.wire import Unpacker, pack

_READ_BYTES = 1 << 18


class Worker:
    """One pipeline and the requests that it is answering."""

    def __init__(self, link: socket.socket, pipeline: Any) -> None:
        self._link = link
        self._pipeline = pipeline
        self._unpacker = Unpacker()
        self._handles: dict[int, Any] = {}

    def run(self) -> None:
        """Serve until the socket closes."""
        while self._take_messages():
            if self._handles or self._pipeline.has_non_finished_requests():
                self._pipeline.step()
                self._send_rows()

    def _take_messages(self) -> bool:
        """Read what has come; wait for it when idle. False when the service is gone."""
        flags = socket.MSG_DONTWAIT if self._handles else 0
        while True:
            try:
                data = self._link.recv(_READ_BYTES, flags)
            except BlockingIOError:
                return True
            if not data:
                return False
            for message in self._unpacker.feed(data):
                self._take(message)
            flags = socket.MSG_DONTWAIT

    def _take(self, message: dict[str, Any]) -> None:
        if "cancel" in message:
            handle = self._handles.pop(message["cancel"], None)
            if handle is not None:
                handle.cancel()
            return
        number = message["add"]
        try:
            ids = ov.Tensor(np.array([message["ids"]], dtype=np.int64))
            self._handles[number] = self._pipeline.add_request(number, ids, _config(message))
        except (RuntimeError, ValueError, TypeError):
            self._link.sendall(pack({"refused": number}))

    def _send_rows(self) -> None:
        rows = []
        for number, handle in list(self._handles.items()):
            ids: list[int] = []
            logprobs: list[float] = []
            reason = genai.GenerationFinishReason.NONE
            while handle.can_read():
                for output in handle.read().values():
                    ids += output.generated_ids
                    logprobs += output.generated_log_probs
                    reason = output.finish_reason
            finish = None
            if handle.get_status() != genai.GenerationStatus.RUNNING:
                finish = reason.name
                del self._handles[number]
            if ids or finish:
                rows.append((number, ids, logprobs, finish))
        if rows:
            # The pipeline counts in hundredths.
            self._link.sendall(pack({"rows": rows, "kv": self._pipeline.get_metrics().cache_usage / 100}))


def _config(message: dict[str, Any]) -> Any:
    config = genai.GenerationConfig()
    config.apply_chat_template = False
    for key, value in message["config"].items():
        setattr(config, key, set(value) if key == "stop_token_ids" else value)
    if message.get("format"):
        config.structured_output_config = genai.StructuredOutputConfig(**message["format"])
    return config


def _load(folder: str, options: dict[str, Any]) -> Any:
    scheduler = genai.SchedulerConfig()
    scheduler.num_kv_blocks = options["kv_blocks"]
    scheduler.enable_prefix_caching = options["prefix_caching"]
    scheduler.max_num_seqs = options["max_running"]
    scheduler.max_num_batched_tokens = options["max_batched_tokens"]
    return genai.ContinuousBatchingPipeline(folder, scheduler, options["device"], options["properties"])


def main() -> None:
    """Arguments: the socket's descriptor, the model's folder, the options as JSON."""

    def work(link: socket.socket) -> None:
        begun = time.monotonic()
        pipeline = _load(sys.argv[2], orjson.loads(sys.argv[3]))
        link.sendall(pack({"ready": time.monotonic() - begun}))
        Worker(link, pipeline).run()

    inside.run(int(sys.argv[1]), work)


if __name__ == "__main__":
    main()
