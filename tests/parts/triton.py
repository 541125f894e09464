"""A real Triton Inference Server without Docker, from the `nvidia-pytriton` wheel unpacked beside everything.

The wheel's Python package is not used, only the server in it. Its Python backend reads tensors through
numpy 1's C interface, so models run in a small environment of their own: numpy 1 first, then the packages
of the environment that runs the tests.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from parts.packages import CLONE, CannotGet, cache_folder, locked
from parts.process import PartFailed, Process, free_port
from parts.report import ran, skip_part

SERVER = "nvidia-pytriton==0.7.0"
NUMPY = "numpy==1.26.4"
REPOSITORY = CLONE / "deploy" / "triton" / "model_repository"
DOWNLOAD_SECONDS = 180
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class Triton:
    """A server on free ports of the loopback address; models are loaded by whoever needs them."""

    def __init__(
        self,
        root: Path,
        *,
        repositories: Sequence[Path] = (REPOSITORY,),
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sixfold-triton-"))
        self.grpc = f"127.0.0.1:{free_port()}"
        self._http, metrics = free_port(), free_port()
        self.metrics_url = f"http://127.0.0.1:{metrics}/metrics"
        # Shared memory of a killed server is found again by its name, and removed.
        self._memory = f"sixfold_{self._http}_"
        server = root / "pytriton" / "tritonserver"
        self._process = Process(
            [
                server / "bin" / "tritonserver",
                *(f"--model-repository={folder}" for folder in repositories),
                f"--backend-directory={server / 'backends'}",
                f"--backend-config=python,shm-region-prefix-name={self._memory}",
                "--model-control-mode=explicit",
                "--http-address=127.0.0.1",
                f"--http-port={self._http}",
                "--grpc-address=127.0.0.1",
                f"--grpc-port={self.grpc.rpartition(':')[2]}",
                "--metrics-address=127.0.0.1",
                f"--metrics-port={metrics}",
                "--metrics-interval-ms=200",
                "--exit-timeout-secs=5",
                *options,
            ],
            log=self.folder / "triton.log",
            # The backend ignores PYTHONPATH and takes the first `python3` on PATH for its home.
            env={
                "PATH": f"{root / 'python' / 'bin'}:/usr/bin:/bin",
                "LD_LIBRARY_PATH": f"{sysconfig.get_config_var('LIBDIR')}:{root / 'nvidia_pytriton.libs'}",
                **(env or {}),
            },
            ready=self._lives,
        )

    @property
    def log(self) -> str:
        """The last lines of what the server said."""
        return self._process.tail(40)

    def start(self) -> None:
        self._process.start()

    def stop(self) -> None:
        self._process.stop()
        self._sweep()

    def kill(self) -> None:
        """As a machine that loses power."""
        self._process.kill()
        self._sweep()

    def pause(self) -> None:
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def metric(self, name: str, model: str) -> float:
        """The value of a counter or gauge of one model; 0 when the server does not name it."""
        with urllib.request.urlopen(self.metrics_url, timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name + "{") and f'model="{model}"' in line:
                    return float(line.rpartition(" ")[2])
        return 0.0

    def _lives(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._http}/v2/health/live", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _sweep(self) -> None:
        for region in Path("/dev/shm").glob(f"{self._memory}*"):
            region.unlink(missing_ok=True)


def find_triton(
    *,
    repositories: Sequence[Path] = (REPOSITORY,),
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Triton:
    """A running server, or a skipped test that says why there is none."""
    try:
        server = Triton(triton_folder(), repositories=repositories, env=env, options=options)
        server.start()
    except (CannotGet, PartFailed) as reason:
        skip_part("Triton", str(reason))
    ran("Triton")
    return server


def triton_folder() -> Path:
    """The unpacked server, fetched once."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise CannotGet("the server is packaged for Linux on x86-64 only")
    root = cache_folder() / "triton"
    with locked("triton"):
        if not (root / "python" / "pyvenv.cfg").exists():
            _get(root)
    return root


def _get(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        new, wheels = Path(scratch) / "root", Path(scratch) / "wheels"
        for requirement in (SERVER, NUMPY):
            _download(requirement, wheels)
        _unpack(next(wheels.glob("nvidia_pytriton*.whl")), new)
        server = new / "pytriton" / "tritonserver"
        stub = server / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub"
        if not stub.exists():
            raise CannotGet(f"the server's Python backend knows no Python {_PYTHON}")
        shutil.copyfile(stub, server / "backends" / "python" / stub.name)
        for program in (server / "bin" / "tritonserver", server / "backends" / "python" / stub.name):
            program.chmod(0o755)
        venv.create(new / "python", symlinks=True)
        packages = new / "python" / "lib" / f"python{_PYTHON}" / "site-packages"
        _unpack(next(wheels.glob("numpy*.whl")), packages)
        (packages / "product.pth").write_text(sysconfig.get_path("purelib") + "\n")
        new.rename(root)


def _download(requirement: str, folder: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary=:all:",
            "-d",
            folder,
            requirement,
        ],
        capture_output=True,
        text=True,
        timeout=DOWNLOAD_SECONDS,
    )
    if done.returncode:
        raise CannotGet(f"the package {requirement} cannot be downloaded")


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
