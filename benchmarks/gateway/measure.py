"""Interleaved rounds: every side runs every scenario once a round, in turn, first and second by turns."""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.budget import rounds
from benchmarks.common.busy import busy
from benchmarks.common.load import Result, run_load
from benchmarks.common.stats import Spread, quantile, spread
from benchmarks.gateway.sides import Side, start_litellm, start_sixfold, start_upstream
from benchmarks.gateway.upstream import CHUNKS

_serial = itertools.count()


@dataclass(frozen=True)
class Scenario:
    """What the client does."""

    name: str
    title: str
    connections: int
    requests: int
    stream: bool = False
    paced: bool = True

    def bodies(self, requests: int) -> list[str]:
        """Every question is new, so that no cache answers."""
        return [self._body(f"Question {next(_serial)}: what is a gateway for?") for _ in range(requests)]

    def _body(self, question: str) -> str:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]
        body: dict[str, Any] = {"model": "bench", "messages": messages, "max_tokens": 256}
        if self.stream:
            body |= {
                "stream": True,
                "stream_options": {"include_usage": True},
                "seed": 1 if self.paced else 0,
            }
        return json.dumps(body)


SCENARIOS = (
    Scenario("request_c1", "CPU ms a request, 1 client", 1, 150),
    Scenario("request_c16", "CPU ms a request, 16 clients", 16, 320),
    Scenario(
        "stream_paced", f"CPU ms a {CHUNKS}-chunk stream, a chunk every 2 ms, 4 clients", 4, 16, stream=True
    ),
    Scenario(
        "stream_burst",
        f"CPU ms a {CHUNKS}-chunk stream, no pause, 4 clients",
        4,
        16,
        stream=True,
        paced=False,
    ),
)


def measure(*, quick: bool) -> dict[str, Any]:
    """Runs everything; figures in milliseconds, MiB and seconds, a list of rounds each."""
    figures: dict[str, Any] = {"cpu_ms": defaultdict(list), "p50_ms": defaultdict(list), "cold_start_s": {}}
    with tempfile.TemporaryDirectory(prefix="sixfold-bench-") as temporary:
        folder = Path(temporary)
        upstream, upstream_port = start_upstream(folder)
        sides: list[Side] = []
        try:
            starters: tuple[Callable[[Path, int], Side], ...] = (start_sixfold, start_litellm)
            for start in starters:
                figures["cold_start_s"] |= _cold_starts(
                    start, folder, upstream_port, sides, 1 if quick else 3
                )
            for side in sides:
                _warm(side)
            for mode, planned, seconds in (("idle", 2 if quick else 5, 110), ("busy", 1 if quick else 3, 90)):
                for number in rounds("gateway", mode, planned, seconds):
                    with busy(mode == "busy"):
                        _round(sides if number % 2 else sides[::-1], mode, upstream_port, figures, quick)
            figures["rss_mib"] = {name: mib for side in sides for name, mib in side.rss_mib().items()}
        finally:
            for side in sides:
                side.stop()
            upstream.stop()
    return figures


def _cold_starts(
    start: Callable[[Path, int], Side], folder: Path, upstream: int, sides: list[Side], times: int
) -> dict[str, list[float]]:
    """Starts a side several times, one after another, and keeps the last one."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for number in range(times):
        own = folder / f"{start.__name__}-{number}"
        own.mkdir()
        side = start(own, upstream)
        print(f"{side.name} ready after {side.cold_start:.1f} s", file=sys.stderr, flush=True)
        seconds[side.name].append(side.cold_start)
        if number + 1 < times:
            side.stop()
        else:
            sides.append(side)
    return dict(seconds)


def _warm(side: Side) -> None:
    for scenario in SCENARIOS:
        bodies = scenario.bodies(8 if scenario.stream else 60)
        run_load(side.port, bodies, connections=scenario.connections, token=side.token).require()


def _round(sides: list[Side], mode: str, upstream: int, figures: dict[str, Any], quick: bool) -> None:
    for scenario in SCENARIOS:
        for side in sides:
            requests = max(8, scenario.requests // 4) if quick else scenario.requests
            asked, before = _count(upstream), side.cpu_seconds()
            result = run_load(
                side.port, scenario.bodies(requests), connections=scenario.connections, token=side.token
            )
            after = side.cpu_seconds()
            _check(result, scenario, requests, _count(upstream) - asked)
            for column, seconds in after.items():
                key = f"{mode}/{scenario.name}/{column}"
                figures["cpu_ms"][key].append((seconds - before[column]) / requests * 1000)
            latencies = [(a.first if scenario.stream else a.seconds) * 1000 for a in result.answers]
            figures["p50_ms"][f"{mode}/{scenario.name}/{side.name}"].append(quantile(latencies, 0.5))


def _check(result: Result, scenario: Scenario, requests: int, upstream_answers: int) -> None:
    result.require(chunks=CHUNKS if scenario.stream else None)
    if len(result.answers) != requests or upstream_answers != requests:
        counted = f"{len(result.answers)} answers, {upstream_answers} upstream"
        raise RuntimeError(f"{scenario.name}: {requests} requests, {counted}")


def _count(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/count")
    answers = int(json.loads(connection.getresponse().read())["answers"])
    connection.close()
    return answers


def summary(figures: dict[str, Any]) -> dict[str, Spread]:
    """Key to median and spread."""
    return {key: spread(values) for key, values in figures["cpu_ms"].items()}
