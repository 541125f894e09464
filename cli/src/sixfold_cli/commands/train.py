"""train: a data set and a base model in, a better model out."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import typer

from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import find_home
from sixfold_cli.options import HomeOption, JsonOption, UrlOption, print_json


def train(
    rows: Annotated[
        str, typer.Argument(metavar="DATASET|FILE", help="A data set by name or id, or a file of rows.")
    ],
    base: Annotated[str, typer.Option("--base", help="The model to begin with.", metavar="MODEL")],
    method: Annotated[
        str, typer.Option("--method", help="supervised (LoRA), full (every weight) or dpo.")
    ] = "supervised",
    validation: Annotated[
        str | None,
        typer.Option("--validation", help="Rows to validate on; else the data set's own.", metavar="ID|FILE"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Times through the rows.", min=1, max=50)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows a step.", min=1, max=256)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Multiplies the recipe's learning rate.", min=0.0001, max=100)
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="dpo: how far it may go from the base.", min=0.0001, max=2)
    ] = None,
    suffix: Annotated[str | None, typer.Option(help="Becomes part of the new model's name.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed and data, same model.", min=0)] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only say what it would take.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return as soon as it is ordered.")] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Train a model and watch it learn.

    What it will take comes first; then step, loss, validation loss and the time left; then the model's name.
    Without numbers the trainer takes those that fit the rows. Ctrl-C stops watching, not the training.
    Exit code 1: it failed, or was called off.

    \b
    sixfold train intents --base smollm2-135m-instruct
    sixfold train rows.jsonl --base smollm2-135m-instruct --epochs 3 --suffix intents
    sixfold train intents --base smollm2-135m-instruct --estimate
    sixfold train pairs --base smollm2-135m-instruct --method dpo --detach
    """
    from sixfold_cli.client import connect
    from sixfold_cli.jobs import tuning
    from sixfold_cli.jobs.find import TUNING
    from sixfold_cli.jobs.outcome import settle
    from sixfold_cli.jobs.progress import showing
    from sixfold_cli.jobs.sources import training_file
    from sixfold_cli.jobs.watch import Watch, detaching

    if method not in tuning.METHODS:
        raise CliError(
            f"there is no method '{method}'.", f"Methods: {', '.join(tuning.METHODS)}.", code=Exit.USAGE
        )
    if beta is not None and method != "dpo":
        raise CliError("--beta belongs to --method dpo.", reason="USAGE", code=Exit.USAGE)
    sent: list[str] = []
    with connect(find_home(home), url, timeout=120.0).keeping() as api:
        api.call("GET", f"{TUNING}?limit=1")  # before anything is sent: may we, and is it offered here
        try:
            given = [training_file(api, each) for each in (rows, validation) if each is not None]
            sent += [identity for identity, is_new in given if is_new]
            order = tuning.Order(
                base=base,
                rows=given[0][0],
                validation=given[1][0] if validation is not None else None,
                method=method,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                beta=beta,
                suffix=suffix,
                seed=seed,
            )
            cost = api.call("POST", "/v1/fine_tuning/estimates", order.body())
            if not json:
                print(tuning.estimate_words(cost), flush=True)
            if estimate:
                _forget(api, sent)
                if json:
                    print_json(cost)
                return
            job = api.change("POST", TUNING, order.body(), patience=30.0)
        except (CliError, KeyboardInterrupt):
            _forget(api, sent)  # nothing will read it
            raise
        job_id = str(job["id"])
        if detach:
            if json:
                print_json({**job, "estimate": cost})
            else:
                print(f"{job_id} is ordered. Watch it: `sixfold jobs watch {job_id}`.")
            return
        with detaching(job_id), showing(silent=json) as display:
            watching = Watch(api, {base: f"{TUNING}/{job_id}"}, display)
            job = watching.run()[base]
        settle(job, json=json)
        if not json:
            print("\n".join([tuning.summary(job, watching.fall(base)), *_next(job, rows, base)]))


def _next(job: dict[str, Any], rows: str, base: str) -> list[str]:
    model = job["fine_tuned_model"]
    return [
        f'  ask it:      sixfold ask -m {model} "…"',
        f"  measure it:  sixfold eval {rows} --model {model} --against {base}",
    ]


def _forget(api: Any, sent: list[str]) -> None:
    """Deletes what was sent for nothing."""
    for identity in sent:
        with contextlib.suppress(CliError):
            api.change("DELETE", f"/v1/files/{identity}", patience=0.0)
