"""The command line's entry: the commands, and one place where errors become a line and an exit code."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as installed_version

import click
import typer

from sixfold_cli.commands import (
    access,
    datasets,
    demo,
    documents,
    evals,
    jobs,
    loop,
    models,
    run,
    talk,
    train,
)
from sixfold_cli.errors import CliError, Exit
from sixfold_cli.options import HomeOption, JsonOption, UrlOption, hand_down, print_json

_EPILOG = """\b
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 nothing runs or answers;
4 refused (token or key); 5 a limit, try later; 130 interrupted.
Variables: SIXFOLD_HOME, SIXFOLD_PORT, SIXFOLD_HOST, SIXFOLD_URL, SIXFOLD_TOKEN, NO_COLOR.

\b
sixfold up -d                         start everything
sixfold ask "Why is the sky blue?"    ask it
sixfold ingest handbook/              bring documents in
sixfold ask --store default "Who?"    ask over them
sixfold feedback last --up            say what the answer was worth
sixfold train rows.jsonl --base …     make a better model
sixfold eval rows.jsonl --model …     measure it
sixfold down                          stop everything
"""

app = typer.Typer(
    name="sixfold",
    help="Start Sixfold on this machine, and talk to it.",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


@app.callback()
def for_all(
    ctx: typer.Context, home: HomeOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """Start Sixfold on this machine, and talk to it."""
    hand_down(ctx, COMMANDS, home=home, url=url, json=json or None)


def version(json: JsonOption = False) -> None:
    """Print the version."""
    number = installed_version("sixfold-cli")
    if json:
        print_json({"version": number, "python": sys.version.split()[0]})
    else:
        print(f"sixfold {number}")


for command in (
    run.up, run.down, run.status, run.logs, talk.ask, documents.ingest, documents.search, loop.feedback,
    train.train, loop.lineage, loop.audit, demo.demo,
):  # fmt: skip
    app.command()(command)
app.command("eval")(evals.evaluate)
app.add_typer(models.models, name="models")
app.add_typer(datasets.datasets, name="datasets")
app.add_typer(jobs.jobs, name="jobs")
app.add_typer(documents.stores, name="stores")
app.add_typer(documents.files, name="files")
app.command()(access.token)
app.add_typer(access.keys, name="keys")
app.command()(version)
_ALONE = (
    "up", "down", "status", "logs", "ask", "ingest", "search", "feedback", "train", "eval", "lineage",
    "audit", "demo", "token", "version",
)  # fmt: skip
COMMANDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_ALONE, ()),
    "models": models.INNER,
    "datasets": datasets.INNER,
    "jobs": jobs.INNER,
    "stores": documents.INNER,
    "files": documents.INNER,
    "keys": ("create", "list", "delete"),
}


def main() -> int:
    """Runs the command line; the exit code. Nothing raised here is ever shown as a traceback."""
    try:
        code = app(standalone_mode=False)
    except CliError as error:
        return _report(error)
    except click.exceptions.UsageError as error:
        if _wants_json():
            return _report(CliError(error.format_message(), reason="USAGE", code=Exit.USAGE))
        error.show()
        return Exit.USAGE
    except click.ClickException as error:
        return _report(CliError(error.format_message()))
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    except BrokenPipeError:  # the reader had enough, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _report(CliError(f"{error.strerror or error}{where}.", reason="SYSTEM"))
    return code if isinstance(code, int) else Exit.OK


def _report(error: CliError) -> int:
    if _wants_json():
        print_json(error.as_json())
    else:
        lines = [error.details, f"sixfold: {error.message}", error.hint and f"  {error.hint}"]
        print("\n".join(line for line in lines if line), file=sys.stderr)
    return error.code


def _wants_json() -> bool:
    return "--json" in sys.argv[1:]


if __name__ == "__main__":
    sys.exit(main())
