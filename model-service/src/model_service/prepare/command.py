"""`python -m model_service prepare`: bring the default models in, or one from this machine."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from model_service.models.config import write_default_config
from model_service.prepare.embedding import prepare_minilm
from model_service.prepare.folder import locked
from model_service.prepare.progress import PrepareError, Progress
from model_service.prepare.text import prepare_smollm2


def prepare(home: Path, config: Path, arguments: Sequence[str]) -> int:
    """Returns the exit code: 0, or 1 after one line on stderr that says what is wrong and the way out."""
    parser = argparse.ArgumentParser("model_service prepare", description=__doc__)
    parser.add_argument("--from", dest="source", type=Path, help="folder or .gguf file to bring in")
    parser.add_argument("--name", help="the model's name in the service")
    given = parser.parse_args(arguments)
    if (given.source is None) != (given.name is None):
        parser.error("--from and --name go together")
    if given.name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", given.name):
        parser.error("--name takes 1 to 64 letters, digits, '.', '_' and '-'")
    progress = Progress()
    models = home / "models"
    try:
        with locked(models):
            if given.source is None:
                prepare_defaults(models, progress)
                write_default_config(config)
            else:
                # Imported here: bringing in the defaults takes less than this does.
                from model_service.prepare.local import prepare_local

                prepare_local(given.source, given.name, models, progress)
    except PrepareError as error:
        print(f"prepare: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except OSError as error:
        print(f"prepare: {error.filename or models}: {error.strerror or 'cannot be used'}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def prepare_defaults(models: Path, progress: Progress) -> None:
    """Make the two default models under `models`. Raises PrepareError."""
    prepare_minilm(models, progress)
    prepare_smollm2(models, progress)
