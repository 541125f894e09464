#!/usr/bin/env bash
# Installs each member alone, from its wheel, into a fresh environment and imports every module of it:
# a dependency that only a neighbour declares shows here. `scripts/alone.sh gateway` checks one.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"
uv=.venv/bin/uv
work=$(mktemp -d "${TMPDIR:-/tmp}/sixfold-alone.XXXXXX")
trap 'rm -rf "$work"' EXIT
members=("$@")
[ "${#members[@]}" -gt 0 ] || members=(proto servicekit gateway cli retrieval-service eval-service training-service model-service)

for member in proto servicekit gateway cli retrieval-service eval-service training-service model-service; do
    "$uv" build --quiet --wheel --python .venv/bin/python --out-dir "$work/wheels" "$member"
done

cat >"$work/walk.py" <<'PY'
"""Imports every module of one package, apart from entry points and migrations, which run when imported."""

import importlib
import sys
from pathlib import Path

name = sys.argv[1]
seen = 0
for root in map(Path, importlib.import_module(name).__path__):
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root.parent).with_suffix("").parts
        if "__main__" not in parts and "migrations" not in parts:
            importlib.import_module(".".join(parts).removesuffix(".__init__"))
            seen += 1
if "torch" in sys.modules and name not in ("model_service", "training_service"):
    sys.exit(f"{name} imports torch")
print(f"{name}: {seen} modules import alone")
PY

for member in "${members[@]}"; do
    package=${member//-/_}
    case $member in proto) package=sixfold ;; cli) package=sixfold_cli ;; esac
    "$uv" venv --quiet --python .venv/bin/python "$work/$member"
    "$uv" pip install --quiet --python "$work/$member/bin/python" -c constraints.txt \
        --find-links "$work/wheels" "sixfold-$member"
    (cd "$work" && PYTHONPATH='' "$work/$member/bin/python" "$work/walk.py" "$package")
    rm -rf "${work:?}/$member"
done
