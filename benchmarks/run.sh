#!/usr/bin/env bash
# Measures Sixfold beside its peers; see docs/benchmarks.md. Options: --quick, --no-page, gateway, generation, retrieval.
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/python -m benchmarks "$@"
