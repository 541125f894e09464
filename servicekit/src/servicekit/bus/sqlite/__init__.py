"""The embedded log: one SQLite file that several processes of one machine write and read."""

from servicekit.bus.sqlite.log import EmbeddedLog
from servicekit.bus.sqlite.options import EmbeddedOptions

__all__ = ["EmbeddedLog", "EmbeddedOptions"]
