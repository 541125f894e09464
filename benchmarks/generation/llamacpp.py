"""llama.cpp's own HTTP server, from its wheel; runs in its own environment.

usage: python llamacpp.py MODEL.gguf PORT SLOTS CONTEXT THREADS
"""

import sys
import time

import xllamacpp


def main(path: str, port: int, slots: int, context: int, threads: int) -> None:
    """Serves until it is told to stop. `context` is in tokens a slot."""
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = slots
    params.n_ctx = slots * context
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.endpoint_metrics = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main(sys.argv[1], *(int(word) for word in sys.argv[2:6]))
