"""The options of a model behind Triton."""

from __future__ import annotations

from pathlib import Path

import grpc
from pydantic import Field

from model_service.adapters.remote.options import RemoteOptions
from model_service.models.config import ConfigError


class TritonOptions(RemoteOptions):
    """Options of a model behind Triton."""

    tokenizer: Path | None = Field(
        None, description="Folder with tokenizer.json and the chat template; without it, prompts only."
    )
    max_tokens: int = Field(
        512, ge=1, description="Tokens of an answer where neither caller nor context say."
    )
    load: bool = Field(True, description="Load the model through the repository API where it is not loaded.")
    unload: bool | None = Field(
        None,
        description="Unload it on close. Unset: if this process loaded it. False where services share it.",
    )
    load_timeout: float = Field(300.0, gt=0, le=3600, description="Seconds that loading may take.")
    ca_file: Path | None = Field(None, description="PEM of the authority to trust, for tritons://.")
    cert_file: Path | None = Field(None, description="PEM of this client's certificate chain.")
    key_file: Path | None = Field(None, description="PEM of this client's key.")

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises ConfigError when a file cannot be read."""
        files = (self.ca_file, self.key_file, self.cert_file)
        try:
            ca, key, chain = (file.read_bytes() if file else None for file in files)
        except OSError as error:
            raise ConfigError(f"{error.filename} cannot be read.") from None
        return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=chain)
