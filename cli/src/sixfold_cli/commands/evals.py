"""eval: how good a model is, and whether it is better than another."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import find_home
from sixfold_cli.options import HomeOption, JsonOption, UrlOption, print_json


def evaluate(
    rows: Annotated[
        str, typer.Argument(metavar="DATASET|FILE", help="A data set by name or id, or a file of rows.")
    ],
    model: Annotated[str, typer.Option("-m", "--model", help="The model or alias to measure.")],
    against: Annotated[
        str | None, typer.Option("--against", help="Another to compare it with.", metavar="MODEL")
    ] = None,
    criteria: Annotated[
        list[str] | None,
        typer.Option(
            "--criterion",
            "-c",
            help="exact, label, f1, contains, similarity, rouge, bleu, judge:MODEL; "
            "label unless said otherwise.",
        ),
    ] = None,
    part: Annotated[str, typer.Option("--part", help="Which part of a data set.")] = "test",
    system: Annotated[
        str | None, typer.Option("-s", "--system", help="Said first, in place of the rows' own.")
    ] = None,
    constrain: Annotated[
        bool, typer.Option("--constrain", help="Let answers be nothing but one of the labels.")
    ] = False,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.", min=1)] = None,
    temperature: Annotated[float, typer.Option(help="0 is always the same answer.", min=0, max=2)] = 0.0,
    name: Annotated[str | None, typer.Option("--name", help="What the eval is called.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Save the report, one page.", metavar="FILE.html")
    ] = None,
    min_pass: Annotated[
        float | None,
        typer.Option("--min-pass", help="Exit code 1 when fewer pass than this share.", min=0, max=1),
    ] = None,
    home: HomeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Measure a model, or compare two on the same rows.

    The rows have known answers; --against names the other model.
    A row passes when every criterion does. Shares come with the interval in which the true one lies (95%);
    two models are compared row by row. Ctrl-C stops watching, not the measuring. Exit code 1: a run failed,
    or fewer passed than --min-pass asks for.

    \b
    sixfold eval intents --model ft:… --against smollm2-135m-instruct
    sixfold eval rows.jsonl --model default -c contains -c similarity:0.9 --report out.html
    sixfold eval answers.jsonl --model ft:… -c judge:default --system "Be brief."
    sixfold eval intents --model default --min-pass 0.8 && echo good enough
    """
    from sixfold_cli.client import connect
    from sixfold_cli.jobs import measure, results
    from sixfold_cli.jobs.criteria import parse
    from sixfold_cli.jobs.outcome import settle
    from sixfold_cli.jobs.progress import showing
    from sixfold_cli.jobs.rows import labels_of, read
    from sixfold_cli.jobs.sources import look_up
    from sixfold_cli.jobs.watch import Watch, detaching

    if against == model:
        raise CliError("a model is not compared with itself.", reason="USAGE", code=Exit.USAGE)
    _check_report(report)
    with connect(find_home(home), url, timeout=120.0).keeping() as api:
        api.call("GET", "/v1/evals?limit=1")  # before anything is sent: may we, and is it offered here
        named = look_up(api, rows)
        items = read(api, named, part, system)
        wanted = measure.Wanted(
            name=name or f"{named.name} · {', '.join(criteria or ['label'])}",
            rows=named,
            part=part,
            items=items,
            criteria=parse(criteria or ["label"], labels_of(items)),
            models=[against, model] if against else [model],
            constrain=constrain,
            max_tokens=max_tokens,
            temperature=temperature,
            system=system,
        )
        started = measure.start(api, wanted)
        runs = list(started.runs.values())
        with detaching(*runs), showing(silent=json) as display:
            paths = {each: started.path(run) for each, run in started.runs.items()}
            ended = Watch(api, paths, display).run()
        if started.file_id:
            with contextlib.suppress(CliError):  # the rows are in the runs' items; the file has done its work
                api.change("DELETE", f"/v1/files/{started.file_id}", patience=0.0)
        for run in ended.values():
            if run["status"] != "completed":
                settle(run, json=json)
        compared = measure.compare(api, started) if against else []
        if report is not None:
            measure.save_report(api, started, report)
    share = measure.passed(ended[model])
    enough = min_pass is None or share >= min_pass
    if json:
        told = {"eval_id": started.eval_id, "runs": list(ended.values()), "comparison": compared}
        print_json({**told, "passed": share, "min_pass": min_pass, "report": str(report) if report else None})
    else:
        results.show_runs(list(ended.values()))
        if against:
            results.show_comparison(compared, against, model)
            print(f"  release it:  sixfold models promote ALIAS {model} --run {runs[0]} --run {runs[1]}")
        if report is not None:
            print(f"report: {report}")
    if not enough:
        if not json:
            print(f"sixfold: {share:.3f} passed, {min_pass} is asked for.", file=sys.stderr)
        raise typer.Exit(Exit.FAILED)


def _check_report(report: Path | None) -> None:
    """Before anything is measured: can it be kept?"""
    if report is not None and not report.absolute().parent.is_dir():
        raise CliError(
            f"{report}: there is no folder {report.absolute().parent}.", reason="NO_FOLDER", code=Exit.USAGE
        )
