"""Where a compatible server is and how it is used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from model_service.adapters.remote.options import RemoteOptions
from model_service.models.config import ConfigError


class OpenAIOptions(RemoteOptions):
    """Options of a model behind a compatible server."""

    model: str = Field("", description="The model's name at the server; empty: the name it has here.")
    api_key_file: Path | None = Field(None, description="File that holds the key.")
    api_key_env: str = Field("", description="Environment variable that holds the key.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers sent with every request.")
    ca_file: Path | None = Field(None, description="PEM of the authority to trust instead of the system's.")
    max_tokens_field: Literal["", "max_tokens", "max_completion_tokens"] = Field(
        "",
        description="What the server calls the limit; empty: OpenAI's own name there, max_tokens elsewhere.",
    )
    include_usage: bool = Field(True, description="Ask for token counts at the end of a stream.")
    first_token_timeout: float = Field(60.0, gt=0, description="Seconds until the answer must begin.")
    chunk_timeout: float = Field(30.0, gt=0, description="Seconds between pieces at most.")
    max_line_bytes: int = Field(1 << 20, ge=1024, description="Bytes of one event at most.")
    max_body_bytes: int = Field(64 << 20, ge=1024, description="Bytes of one answer at most.")

    def key(self) -> str | None:
        """The server's key. Raises ConfigError; its text never holds the key."""
        if self.api_key_file is not None:
            try:
                return self.api_key_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                raise ConfigError(f"{self.api_key_file} cannot be read.") from None
        if self.api_key_env:
            if self.api_key_env not in os.environ:
                raise ConfigError(f"{self.api_key_env} is not set, and a model takes its key from it.")
            return os.environ[self.api_key_env].strip()
        return None


def base_url(url: str) -> str:
    """openai+https://host/v1 → https://host/v1. Raises ConfigError with one line."""
    kind, _, rest = url.partition("+")
    parts = urlsplit(rest)
    if kind != "openai" or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("expected openai+https://host/v1 or openai+http://host/v1.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            f"openai+{parts.scheme}://{parts.hostname}: keys go into api_key_file, not into the URL."
        )
    return rest.rstrip("/")
