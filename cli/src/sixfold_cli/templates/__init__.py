"""Files that a new home is given."""

from __future__ import annotations

from importlib.resources import files

from sixfold_cli.home import Home


def ensure_config(home: Home) -> bool:
    """Writes gateway.yaml for people to change, unless there is one; whether it did."""
    target = home.root / "gateway.yaml"
    if target.exists():
        return False
    text = files(__package__).joinpath("gateway.yaml").read_text("utf-8")
    target.write_text(text, "utf-8")
    return True
