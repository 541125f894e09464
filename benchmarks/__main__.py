"""`python -m benchmarks [gateway] [generation] [retrieval] [--quick] [--no-page]`: measure, print, keep."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import time
from typing import Any

from benchmarks.common.environments import ROOT
from benchmarks.common.machine import describe
from benchmarks.common.report import Table, machine_line, rewrite, save

PAGE = ROOT / "docs" / "benchmarks.md"
PACKAGES = ("fastapi", "grpcio", "openvino-genai", "uvloop")
PARTS = {
    "gateway": PACKAGES,
    "generation": PACKAGES,
    "retrieval": ("chromadb", "numpy", "rjieba", "sentence-transformers", "tantivy"),
}
"""What can be measured, with the packages whose versions matter there."""
DEFAULT = ("gateway", "generation")
"""Retrieval needs a data folder, and is asked for by name."""


def main() -> int:
    """Exit code 0 when everything could be measured, whatever came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Side-by-side measurements.")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; {' and '.join(DEFAULT)} by default"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, a look only; the page stays as it is"
    )
    parser.add_argument("--no-page", action="store_true", help="leave docs/benchmarks.md as it is")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    # A stop asked for from outside unwinds like Ctrl-C, so that no process of ours is left.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    begin = time.monotonic()
    for name in options.parts or DEFAULT:
        machine = describe(PARTS[name])
        figures: dict[str, Any] = importlib.import_module(f"benchmarks.{name}.measure").measure(
            quick=options.quick
        )
        tables: list[Table] = importlib.import_module(f"benchmarks.{name}.tables").tables(figures)
        print("\n" + "\n".join(table.plain() for table in tables))
        print(machine_line(machine) + "\n")
        suffix = "-quick" if options.quick else ""
        save(ROOT / ".cache" / "bench" / f"{name}{suffix}.json", {"machine": machine, "figures": figures})
        if not options.quick and not options.no_page:
            save(ROOT / "docs" / "benchmarks" / f"{name}.json", {"machine": machine, "figures": figures})
            text = "\n".join(table.markdown() for table in tables)
            rewrite(PAGE, name, f"{text}\n{machine_line(machine)}\n")
    print(f"measured in {(time.monotonic() - begin) / 60:.1f} minutes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
