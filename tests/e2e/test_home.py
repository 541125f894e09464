"""What a first start leaves in the home folder."""

from __future__ import annotations

import stat

import pytest
from parts.platform import Platform

from gateway.config.file import GatewayConfig, parse_config

pytestmark = pytest.mark.real_model


def test_the_given_gateway_file_says_what_holds_anyway(platform: Platform) -> None:
    """A file that only repeats the defaults, but for what the demo learns from: its own tenant's content."""
    given, defaults = parse_config((platform.home / "gateway.yaml").read_text()), GatewayConfig()
    assert given.model_copy(update={"learning": defaults.learning}) == defaults
    assert not given.learning.keep_content
    assert {tenant for tenant in given.learning.tenants if given.learning.keeps(tenant)} == {"demo"}


def test_the_commented_examples_are_right(platform: Platform) -> None:
    lines = (platform.home / "gateway.yaml").read_text().splitlines()
    code = [line[2:] for line in lines if line.startswith(("# services:", "# routes:", "#   "))]
    parsed = parse_config("\n".join(code))
    assert parsed.routes["support"].targets[0].weight == 90
    assert "gpu" in parsed.services


def test_secrets_are_the_owners_alone(platform: Platform) -> None:
    for path in [platform.home / "token", *(platform.home / "secrets").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((platform.home / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE(platform.home.stat().st_mode) == 0o700
