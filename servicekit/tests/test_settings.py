"""Settings: names, one line for each bad value, and the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings, load_settings, settings_page


class BakerySettings(ServiceSettings):
    """The bakery, told by the environment."""

    model_config = SettingsConfigDict(env_prefix="SIXFOLD_BAKERY_")

    ovens: int = Field(2, ge=1, description="Ovens that bake | at once.")
    recipe: SecretStr = Field(SecretStr("flour"), description="What nobody may see.")
    shelves: list[int] = Field(default_factory=list, description="Shelf lengths.")
    flour: str = Field(description="Which flour.")
    drain_seconds: float = Field(
        5.0, validation_alias="SIXFOLD_DRAIN_SECONDS", description="Until the last loaf."
    )


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("SIXFOLD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SIXFOLD_BAKERY_FLOUR", "rye")


def test_shared_names_have_one_prefix_and_own_names_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXFOLD_HOME", "/srv/sixfold")
    monkeypatch.setenv("SIXFOLD_BAKERY_OVENS", "7")
    monkeypatch.setenv("SIXFOLD_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("SIXFOLD_TLS_CA", "")
    settings = load_settings(BakerySettings)
    assert settings.home == Path("/srv/sixfold")
    assert settings.key_file == Path("/srv/sixfold/secrets/service.key")
    assert (settings.ovens, settings.flour, settings.log_level) == (7, "rye", "debug")
    assert settings.tls_ca is None
    assert settings.drain_seconds == 5


def test_fields_can_be_given_by_name() -> None:
    settings = BakerySettings(home=Path("/elsewhere"), flour="oat", service_key_file=Path("/key"))
    assert settings.home == Path("/elsewhere")
    assert settings.key_file == Path("/key")


def test_each_bad_value_is_one_line_that_does_not_show_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIXFOLD_LOG_FORMAT", "hunter2")
    monkeypatch.setenv("SIXFOLD_BAKERY_OVENS", "hunter2")
    monkeypatch.delenv("SIXFOLD_BAKERY_FLOUR")
    with pytest.raises(SystemExit) as caught:
        load_settings(BakerySettings)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == [
        "SIXFOLD_LOG_FORMAT",
        "SIXFOLD_BAKERY_OVENS",
        "SIXFOLD_BAKERY_FLOUR",
    ]
    assert "hunter2" not in "".join(lines)


def test_a_list_that_is_no_json_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIXFOLD_BAKERY_SHELVES", "hunter2")
    with pytest.raises(SystemExit) as caught:
        load_settings(BakerySettings)
    assert caught.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "shelves" in line
    assert "hunter2" not in line


def test_settings_do_not_change() -> None:
    settings = BakerySettings(flour="oat")
    with pytest.raises(ValueError, match="frozen"):
        settings.ovens = 3  # type: ignore[misc]


def test_the_page_names_every_variable_once() -> None:
    page = settings_page(BakerySettings)
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    names = [row.split("`")[1] for row in rows]
    assert names.count("SIXFOLD_HOME") == 1
    assert names[-5:] == [
        "SIXFOLD_DRAIN_SECONDS",
        "SIXFOLD_BAKERY_OVENS",
        "SIXFOLD_BAKERY_RECIPE",
        "SIXFOLD_BAKERY_SHELVES",
        "SIXFOLD_BAKERY_FLOUR",
    ]
    assert "| `SIXFOLD_BAKERY_OVENS` | whole number | `2` | Ovens that bake \\| at once. |" in page
    assert "| `SIXFOLD_BAKERY_FLOUR` | text | required |" in page
    assert "`json` or `text`" in page
    assert "## Bakery" in page
    assert "flour`" not in page


def test_every_shared_field_is_described() -> None:
    assert all(info.description for info in ServiceSettings.model_fields.values())
