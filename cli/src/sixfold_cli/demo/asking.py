"""What is asked of a model, and whether it was right."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from sixfold_cli.client import Api
from sixfold_cli.demo.material import Material, Message
from sixfold_cli.errors import CliError, Exit

TASK = "Name the intent of the customer's message."
ANSWER_TOKENS = 24
_AT_ONCE = 2
_PATIENCE = 60.0
_NO_CACHE = {"cache-control": "no-store"}
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Form:
    """How a message is put to a model. Answers can be nothing but one of the intents."""

    name: str
    """For people."""
    lead: tuple[tuple[str, str], ...]
    """Role and text of the turns before the customer's."""
    intents: tuple[str, ...]

    def turns(self, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": said} for role, said in (*self.lead, ("user", text))]

    def body(self, model: str, text: str) -> dict[str, Any]:
        """Of `POST /v1/chat/completions`."""
        return {
            "model": model,
            "messages": self.turns(text),
            "temperature": 0,
            "guided_choice": list(self.intents),
            "max_completion_tokens": ANSWER_TOKENS,
        }


def short(material: Material) -> Form:
    """The task in one sentence."""
    return Form("the task in one sentence", (("system", TASK),), material.intents)


def with_list(material: Material) -> Form:
    """The same, and a list with an example of each intent."""
    shown = "\n".join(f"{each.text} => {each.intent}" for each in material.examples)
    return Form("examples as a list", (("system", f"{TASK}\n\n{shown}"),), material.intents)


def with_turns(material: Material) -> Form:
    """The same, and an example of each intent as a turn of the conversation."""
    turns = [turn for each in material.examples for turn in (("user", each.text), ("assistant", each.intent))]
    return Form("examples as turns", (("system", TASK), *turns), material.intents)


@dataclass(frozen=True)
class Answer:
    """What came back for one message."""

    message: Message
    said: str
    request_id: str
    model: str
    """Which one answered, without its version."""
    route: str
    seconds: float
    prompt_tokens: int

    @property
    def right(self) -> bool:
        return self.said == self.message.intent

    @property
    def candidate(self) -> bool:
        """Whether it came from a candidate of the name."""
        return "(candidate)" in self.route


def ask(api: Api, model: str, form: Form, message: Message) -> Answer:
    """One question, past the cache: what is measured is the model. Tried again while a limit holds it up."""
    limit = time.monotonic() + _PATIENCE
    while True:
        start = time.monotonic()
        try:
            headers, told = api.answer("/v1/chat/completions", form.body(model, message.text), _NO_CACHE)
            break
        except CliError as error:
            if error.code is not Exit.LIMITED or time.monotonic() > limit:
                raise
            time.sleep(max(0.5, error.wait))
    return Answer(
        message,
        str(told["choices"][0]["message"]["content"] or "").strip(),
        headers.get("x-request-id", ""),
        headers.get("x-sixfold-model", "").rpartition("@")[0] or str(told.get("model", "")),
        headers.get("x-sixfold-route", ""),
        time.monotonic() - start,
        int(told["usage"]["prompt_tokens"]),
    )


def ask_all(api: Api, model: str, form: Form, messages: Sequence[Message]) -> list[Answer]:
    """All of them, in their order, two at a time."""
    with api.keeping() as kept:
        return at_once(lambda message: ask(kept, model, form, message), messages)


def at_once(do: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """Each done, two at a time. Ctrl-C begins nothing new."""
    stopped = threading.Event()

    def one(thing: T) -> R:
        if stopped.is_set():
            raise KeyboardInterrupt
        return do(thing)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            return list(pool.map(one, things))
        except BaseException:
            stopped.set()
            raise


def right(answers: Sequence[Answer]) -> int:
    """How many were."""
    return sum(answer.right for answer in answers)
