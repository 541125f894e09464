"""Models that were trained here go again, when their tenant says so."""

from __future__ import annotations

import asyncio

from gateway.routing.ports import Asker
from gateway.routing.router import Router, model_not_found
from servicekit.errors import Reason, SixfoldError


class Removal:
    """Takes models out of every model service. What was recorded of how they were made stays."""

    def __init__(self, router: Router, *, deadline: float) -> None:
        """`deadline` is how many seconds one call may take."""
        self._router = router
        self._deadline = deadline

    async def remove(self, name: str, asker: Asker, change: str) -> None:
        """Returns when nobody is answered by it any more; the same change again has no second effect.

        Raises MODEL_NOT_FOUND, PERMISSION_DENIED for everybody's models, INVALID_REQUEST while a released
        name stands for it, and what a model service fails with.
        """
        catalogue = self._router.catalogue
        for released in self._router.releases.seen_by(asker.tenant):
            if name in (released.champion, released.candidate):
                raise SixfoldError(
                    Reason.INVALID_REQUEST,
                    f"The name '{released.alias}' answers with this model: roll back, or promote another.",
                    param="model",
                )
        if any(not card.owner for _, card in catalogue.find(name, asker.tenant)):
            raise SixfoldError(Reason.PERMISSION_DENIED, "Only models that were trained here can be deleted.")
        clients = [service.client for service in catalogue.services.values()]
        removed = await asyncio.gather(
            *(client.remove_model(name, asker, change, self._deadline) for client in clients)
        )
        if not any(removed):
            raise model_not_found(name)
        await catalogue.look_again()
