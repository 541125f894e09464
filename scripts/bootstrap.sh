#!/bin/sh
# Finds a Python this project runs on and hands over to scripts/install.py (arguments are passed on).
# PYTHON=/path/to/python chooses the interpreter.
set -eu
cd "${0%/*}/.."

fail() { printf 'sixfold: %s\n' "$1" >&2; exit 1; }

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# A pyenv shim answers to a name and then has no such version: only a Python that runs counts.
fits() { "$1" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, 15)))' 2>/dev/null; }

if [ -n "${PYTHON:-}" ]; then
    python=$PYTHON
    version=$(version_of "$python") || fail "PYTHON=$python does not run. Set PYTHON to a Python 3.11 or newer, or leave it unset."
    fits "$python" || fail "PYTHON=$python is Python $version; 3.11 to 3.14 is needed. Set PYTHON to one of those, or leave it unset."
else
    python='' seen=''
    for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
        version=$(version_of "$candidate") || continue
        if fits "$candidate"; then python=$candidate; break; fi
        seen="$seen $candidate=$version"
    done
    if [ -z "$python" ] && [ -n "$seen" ]; then
        fail "Python 3.11 to 3.14 is needed; found only:$seen. Install one (Debian 12, Ubuntu 24.04: apt install python3 python3-venv) or name it: PYTHON=/path/to/python3.11 make run"
    fi
    [ -n "$python" ] || fail "no Python on PATH ($PATH). Install Python 3.11 or newer, or name it: PYTHON=/path/to/python3 make run"
fi

unset PYTHONHOME PYTHONPATH __PYVENV_LAUNCHER__
exec "$python" scripts/install.py "$@"
