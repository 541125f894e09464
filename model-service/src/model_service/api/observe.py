"""What one request leaves behind: a span under the server's, and its figures. Never its content."""

from __future__ import annotations

import time
from types import TracebackType

from opentelemetry import trace

from model_service import metrics
from model_service.engines.types import Card, Generation, Usage
from servicekit import telemetry
from servicekit.errors import Reason, SixfoldError

_tracer = telemetry.tracer("model_service")


class Observation:
    """Wraps one request: `with Observation("chat", card) as seen: ... seen.used(usage)`."""

    def __init__(self, operation: str, card: Card, request: Generation | None = None) -> None:
        """`operation` is GenAI's: "chat", "text_completion" or "embeddings"."""
        self._operation = operation
        self._card = card
        self._request = request
        self._usage: Usage | None = None
        self._span: trace.Span | None = None
        self._finishes: list[str] = []
        self._begun = 0.0

    def __enter__(self) -> Observation:
        self._begun = time.monotonic()
        if telemetry.enabled():
            self._span = _tracer.start_span(f"{self._operation} {self._card.name}", attributes=self._facts())
        return self

    def used(self, usage: Usage) -> None:
        """The request's usage, once it is known."""
        self._usage = usage

    def finished(self, reason: str) -> None:
        """A choice has ended."""
        self._finishes.append(reason)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.end(_reason(error))

    def end(self, reason: str) -> None:
        """Count the request; `reason` is empty when all went well. Only the first call counts."""
        if not self._begun:
            return
        took, self._begun = time.monotonic() - self._begun, 0.0
        name = self._card.label
        metrics.REQUESTS.labels(name, self._operation, reason).inc()
        metrics.DURATION.labels(name, self._operation).observe(took)
        usage = self._usage
        if usage is not None:
            metrics.PROMPT_TOKENS.labels(name).inc(usage.prompt_tokens)
            if self._operation != "embeddings":
                _count_generation(name, usage, took)
        if self._span is not None:
            self._end_span(self._span, reason)

    def _facts(self) -> dict[str, str | int | float]:
        facts: dict[str, str | int | float] = {
            "gen_ai.operation.name": self._operation,
            "gen_ai.provider.name": "sixfold",
            "gen_ai.request.model": self._card.name,
            "gen_ai.response.model": f"{self._card.name}@{self._card.version}",
            "sixfold.engine": self._card.engine,
        }
        if self._request is not None:
            sampling = self._request.sampling
            wanted = {
                "gen_ai.request.max_tokens": self._request.max_tokens,
                "gen_ai.request.temperature": sampling.temperature,
                "gen_ai.request.top_p": sampling.top_p,
                "gen_ai.request.seed": sampling.seed,
                "gen_ai.request.choice.count": self._request.n if self._request.n > 1 else None,
            }
            facts.update({key: value for key, value in wanted.items() if value is not None})
        return facts

    def _end_span(self, span: trace.Span, reason: str) -> None:
        if self._usage is not None:
            span.set_attributes(
                {
                    "gen_ai.usage.input_tokens": self._usage.prompt_tokens,
                    "gen_ai.usage.output_tokens": self._usage.completion_tokens,
                    "gen_ai.usage.cache_read.input_tokens": self._usage.cached_tokens,
                    "sixfold.queue_seconds": self._usage.queue_seconds,
                    "sixfold.ttft_seconds": self._usage.ttft_seconds,
                }
            )
        if self._finishes:
            span.set_attribute("gen_ai.response.finish_reasons", self._finishes)
        if reason:
            span.set_attribute("error.type", reason)
            span.set_status(trace.StatusCode.ERROR)
        span.end()


def _count_generation(name: str, usage: Usage, took: float) -> None:
    metrics.CACHED_TOKENS.labels(name).inc(usage.cached_tokens)
    metrics.GENERATION_TOKENS.labels(name).inc(usage.completion_tokens)
    metrics.QUEUE.labels(name).observe(usage.queue_seconds)
    if usage.ttft_seconds:
        metrics.FIRST_TOKEN.labels(name).observe(usage.ttft_seconds)
        if usage.completion_tokens > 1:
            metrics.PER_TOKEN.labels(name).observe(
                (took - usage.ttft_seconds) / (usage.completion_tokens - 1)
            )


def _reason(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, SixfoldError):
        return error.reason.value
    # A caller that leaves ends the generator or cancels its task.
    return Reason.INTERNAL.value if isinstance(error, Exception) else Reason.CANCELLED.value
