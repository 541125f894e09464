"""Who reads which partition: fair, and moving as little as can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def share(partitions: Sequence[int], members: Sequence[str], claims: Mapping[int, str]) -> dict[int, str]:
    """Partition → member, counts differing by at most one. Every member computes the same.

    `claims` says who has what now; each keeps as much of it as is fair.
    """
    if not members:
        return {}
    held: dict[str, list[int]] = {member: [] for member in sorted(members)}
    free: list[int] = []
    for partition in sorted(partitions):
        owner = claims.get(partition)
        held.get(owner or "", free).append(partition)
    least, more = divmod(len(partitions), len(members))
    # Those that have most may keep one more than the others, if the numbers do not come out even.
    for place, member in enumerate(sorted(held, key=lambda member: (-len(held[member]), member))):
        fair = least + (place < more)
        free += held[member][fair:]
        del held[member][fair:]
    for partition in free:
        member = min(held, key=lambda member: (len(held[member]), member))
        held[member].append(partition)
    return {partition: member for member, some in held.items() for partition in some}
