#!/usr/bin/env python3
"""Writes docs/settings.md from the settings classes of every service; `--check` compares instead."""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import sys
from pathlib import Path

from servicekit.settings import ServiceSettings, settings_page

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"
SERVICES = ("gateway", "model_service", "retrieval_service", "training_service", "eval_service")
HEAD = """\
# Settings

Everything is set by environment variables; an empty one counts as not set. A bad value stops the service
with one line that names the variable. Written by `make docs` from `*/settings.py`; do not edit.

"""


def page() -> str:
    """The whole page, one section a service."""
    classes = [cls for service in SERVICES for cls in settings_classes(service)]
    return HEAD + settings_page(*classes)


def settings_classes(package: str) -> list[type[ServiceSettings]]:
    """The settings classes that `package.settings` defines; none where there is no such module."""
    if importlib.util.find_spec(package) is None or importlib.util.find_spec(f"{package}.settings") is None:
        return []
    module = importlib.import_module(f"{package}.settings")
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ServiceSettings)
        and value.__module__ == module.__name__
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the file, exit 1 if it differs")
    check = parser.parse_args().check
    made = page()
    kept = PAGE.read_text("utf-8") if PAGE.exists() else ""
    if not check:
        PAGE.write_text(made, "utf-8")
        return 0
    if made == kept:
        return 0
    sys.stderr.writelines(
        difflib.unified_diff(kept.splitlines(True), made.splitlines(True), "docs/settings.md", "code", n=0)
    )
    print("docs/settings.md is not what the code says: run `make docs`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
