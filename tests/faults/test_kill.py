"""`kill -9` of a service in the middle of answers: one clear error, and the platform is back by itself."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

import httpx
import pytest
from parts.platform import Platform

pytestmark = pytest.mark.real_model

PATH = "/v1/completions"
QUESTION = {
    "model": "default",
    "prompt": "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,",
    "max_tokens": 3000,
    "temperature": 0.01,
}


def test_kill_model_service_in_the_middle_of_streams(platform: Platform) -> None:
    events: list[list[Any]] = [[] for _ in range(4)]
    begun = threading.Barrier(5)

    def read(slot: list[Any]) -> None:
        with httpx.stream(
            "POST",
            platform.url + PATH,
            json={**QUESTION, "stream": True},
            headers={"authorization": f"Bearer {platform.token}"},
            timeout=60,
        ) as response:
            assert response.status_code == 200
            first = True
            for line in response.iter_lines():
                if line.startswith("data: "):
                    slot.append(line[6:])
                    if first and len(slot) > 2:
                        first = False
                        begun.wait(30)

    readers = [threading.Thread(target=read, args=(slot,)) for slot in events]
    for reader in readers:
        reader.start()
    begun.wait(30)
    killed = platform.pid("model-service")
    os.kill(killed, signal.SIGKILL)
    for reader in readers:
        reader.join(30)
        assert not reader.is_alive(), "a stream hangs after its engine died"
    for slot in events:
        assert "[DONE]" not in slot
        error = json.loads(slot[-1])["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["code"]
    platform.wait_restarted("model-service", killed)
    answer = platform.client(max_retries=2).chat.completions.create(
        model="default", messages=[{"role": "user", "content": "hi"}], max_tokens=4
    )
    assert answer.usage


def test_kill_model_service_while_an_answer_is_awaited(platform: Platform) -> None:
    result: list[httpx.Response] = []

    def ask() -> None:
        result.append(platform.post(PATH, json=QUESTION))

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(1.5)
    assert asking.is_alive(), "the answer came before the kill"
    killed = platform.pid("model-service")
    os.kill(killed, signal.SIGKILL)
    asking.join(60)
    assert result, "no answer at all"
    assert result[0].status_code in (502, 503)
    assert result[0].json()["error"]["code"]
    platform.wait_restarted("model-service", killed)


def test_kill_gateway_and_the_keys_are_still_there(platform: Platform) -> None:
    made = json.loads(platform.run("--json", "keys", "create", "--name", "before").stdout)
    killed = platform.pid("gateway")
    os.kill(killed, signal.SIGKILL)
    platform.wait_restarted("gateway", killed)
    assert platform.client(api_key=made["key"]).models.list().data
