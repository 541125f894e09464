"""The engine called directly: the same IR, the same scheduler, no service around it.

usage: python -m benchmarks.generation.direct MODEL_FOLDER OPTIONS

OPTIONS is the JSON that the model service gives its own engine process.

Reads one JSON plan a line from standard input, {"clients", "bodies", "max_tokens"}; writes one JSON result
a line, shaped like the client's of `benchmarks.common.load`. Ends with its input.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import openvino_genai as ov


class Direct:
    """A closed loop of `clients` requests over one continuous-batching pipeline."""

    def __init__(self, folder: str, options: dict[str, Any]) -> None:
        config = ov.SchedulerConfig()
        config.num_kv_blocks = options["kv_blocks"]
        config.enable_prefix_caching = options["prefix_caching"]
        config.max_num_seqs = options["max_running"]
        config.max_num_batched_tokens = options["max_batched_tokens"]
        self._pipeline = ov.ContinuousBatchingPipeline(
            folder, config, options["device"], options["properties"]
        )
        self._tokenizer = self._pipeline.get_tokenizer()
        self._serial = 0

    def run(self, clients: int, bodies: list[str], max_tokens: int) -> dict[str, Any]:
        """Answers the chat requests greedily. Times run from a request's arrival, its template included."""
        waiting = list(reversed(bodies))
        running: list[tuple[Any, dict[str, Any]]] = []
        answers: list[dict[str, Any]] = []
        begin = time.perf_counter()
        while waiting or running:
            while waiting and len(running) < clients:
                running.append(self._add(waiting.pop(), max_tokens))
            self._pipeline.step()
            running = [pair for pair in running if not self._read(*pair, answers)]
        return {"answers": answers, "seconds": time.perf_counter() - begin}

    def _add(self, body: str, max_tokens: int) -> tuple[Any, dict[str, Any]]:
        arrived = time.perf_counter()
        messages = json.loads(body)["messages"]
        prompt = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        config = ov.GenerationConfig(max_new_tokens=max_tokens, do_sample=False)
        config.apply_chat_template = False
        config.set_eos_token_id(self._tokenizer.get_eos_token_id())
        self._serial += 1
        tokens = self._tokenizer.encode(prompt, add_special_tokens=False).input_ids
        handle = self._pipeline.add_request(self._serial, tokens, config)
        return handle, {"arrived": arrived, "first": 0.0, "tokens": 0}

    def _read(self, handle: Any, state: dict[str, Any], answers: list[dict[str, Any]]) -> bool:
        while handle.can_read():
            for output in handle.read().values():
                state["first"] = state["first"] or time.perf_counter() - state["arrived"]
                state["tokens"] += len(output.generated_ids)
        if handle.get_status() == ov.GenerationStatus.RUNNING:
            return False
        answer = {"status": 200, "chunks": state["tokens"], "finish": "", "cache": ""}
        seconds = time.perf_counter() - state["arrived"]
        answers.append({**answer, "first": state["first"], "seconds": seconds, "tokens": state["tokens"]})
        return True


def main() -> None:
    """Serves plans until standard input ends."""
    direct = Direct(sys.argv[1], json.loads(sys.argv[2]))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        plan = json.loads(line)
        print(json.dumps(direct.run(plan["clients"], plan["bodies"], plan["max_tokens"])), flush=True)


if __name__ == "__main__":
    main()
