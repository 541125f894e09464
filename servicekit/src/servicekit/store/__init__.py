"""Records by URL: `sqlite:///…` on one machine, `postgresql://…` at scale, through SQLAlchemy."""

from servicekit.store.revisions import MigrationFailed
from servicekit.store.store import Store

__all__ = ["MigrationFailed", "Store"]
