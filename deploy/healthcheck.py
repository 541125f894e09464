"""Asks the service in this container how it is: exit code 0 for a 2xx answer, 1 for anything else.

usage: healthcheck.py [/healthz | /readyz]

Slim images carry no curl. The address comes from the settings that the service itself reads.
"""

import http.client
import os
import sys

_SERVICES = ("MODEL", "RETRIEVAL", "TRAINING", "EVAL")


def address() -> tuple[str, int]:
    """Where the service answers health questions, seen from inside its container."""
    given = (os.environ.get(f"SIXFOLD_{name}_SERVICE_OPS_LISTEN") for name in _SERVICES)
    ops = next((address for address in given if address), None)
    port = ops.rsplit(":", 1)[1] if ops else os.environ.get("SIXFOLD_PORT", "8080")
    return "127.0.0.1", int(port)


def main(arguments: list[str]) -> int:
    """One request, two seconds at most."""
    host, port = address()
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", arguments[0] if arguments else "/healthz")
        status = connection.getresponse().status
    except OSError as error:
        sys.stderr.write(f"{host}:{port} does not answer: {type(error).__name__}\n")
        return 1
    finally:
        connection.close()
    if 200 <= status < 300:
        return 0
    sys.stderr.write(f"{host}:{port} answered {status}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
