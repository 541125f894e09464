"""A model is trained on the data set, with its loss on screen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sixfold_cli.client import Api
from sixfold_cli.demo.names import BASE
from sixfold_cli.demo.tell import Teller, progress
from sixfold_cli.errors import CliError
from sixfold_cli.jobs.tuning import Order, estimate_words, summary
from sixfold_cli.jobs.views import view
from sixfold_cli.jobs.watch import Watch

TUNING = "/v1/fine_tuning/jobs"
_SERVED_SECONDS = 120.0


@dataclass(frozen=True)
class Tuned:
    """What came out."""

    job_id: str
    model: str
    seconds: float
    metrics: Mapping[str, float]


def tune(api: Api, teller: Teller, dataset_id: str, suffix: str, epochs: int, *, silent: bool) -> Tuned:
    """A LoRA adapter of the base, served as a model of its own in the end. CliError when it is not.

    On Ctrl-C the job is called off: nobody waits for it any more.
    """
    order = Order(BASE, dataset_id, epochs=epochs, suffix=suffix, seed=1).body()
    guess = api.call("POST", "/v1/fine_tuning/estimates", order)
    teller.say(f"It would take {estimate_words(guess)}.")
    job = api.change("POST", TUNING, order)
    job_id, start = str(job["id"]), time.monotonic()
    try:
        with progress(teller, silent=silent) as display:
            watch = Watch(api, {"training": f"{TUNING}/{job_id}"}, display)
            ended = watch.run()["training"]
    except KeyboardInterrupt:
        api.change("POST", f"{TUNING}/{job_id}/cancel")
        teller.say(f"Training {job_id} is called off.")
        raise
    found = view(ended)
    if found.status != "succeeded":
        raise CliError(
            f"the training ended as {found.state}: {found.error or 'no reason was given'}",
            f"`sixfold jobs watch {job_id}` shows its diary.",
            reason="TRAINING",
        )
    teller.say(summary(ended, watch.fall("training")) + ".")
    model = str(ended["fine_tuned_model"])
    _await(api, model)
    return Tuned(job_id, model, time.monotonic() - start, _metrics(ended))


def _await(api: Api, model: str) -> None:
    """Until the gateway lists it: model-service has loaded it then."""
    limit = time.monotonic() + _SERVED_SECONDS
    while True:
        served = [each for each in api.call("GET", "/v1/models").get("data", []) if each["id"] == model]
        if served and served[0].get("ready") is not False:
            return
        if time.monotonic() > limit:
            raise CliError(
                f"{model} was trained, but it is not served.",
                "See `sixfold logs model-service`. A tenant has so many trained models at most: "
                "SIXFOLD_MODEL_SERVICE_MAX_TENANT_MODELS.",
                reason="NOT_SERVED",
            )
        time.sleep(0.5)


def _metrics(job: Mapping[str, Any]) -> Mapping[str, float]:
    return (job.get("sixfold") or {}).get("metrics") or {}
