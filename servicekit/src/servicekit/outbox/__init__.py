"""A row and its event in one transaction; the event then goes to the bus, in order, at least once.

A service creates the tables in a migration of its own (`outbox.create_tables(op)`), writes events with
`outbox.add` inside the transaction of their cause, and runs one `Relay` a process: of all processes on
one database one relays at a time. Consumers make "at least once" into "once" with `inbox.first_time`.
"""

from servicekit.outbox import inbox
from servicekit.outbox.add import add
from servicekit.outbox.relay import Relay
from servicekit.outbox.tables import create_tables, drop_tables

__all__ = ["Relay", "add", "create_tables", "drop_tables", "inbox"]
