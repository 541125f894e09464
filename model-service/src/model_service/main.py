"""The process: `python -m model_service` serves, `python -m model_service prepare` brings models in."""

from __future__ import annotations

import sys

from model_service.settings import ModelServiceSettings
from servicekit.settings import load_settings


def main() -> int:
    """Returns the exit code."""
    arguments = sys.argv[1:]
    settings = load_settings(ModelServiceSettings)
    if arguments[:1] == ["prepare"]:
        # Each half imports only what it needs: preparing needs no server, serving no converter.
        from model_service.prepare.command import prepare

        return prepare(settings.home, settings.models_file, arguments[1:])
    print(f"usage: {sys.argv[0]} [prepare [--from DIR --name NAME]]", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main())
