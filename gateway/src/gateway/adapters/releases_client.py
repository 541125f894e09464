"""Releases of the eval service over the gateway's own HTTP/2."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.adapters.eval_client import of_comparison
from gateway.adapters.jobs_proto import to_page
from gateway.adapters.service_client import ServiceClient
from gateway.jobs import releases_types as r
from gateway.jobs.types import Listed, Page
from gateway.routing.ports import Asker
from sixfold.eval.v1 import eval_service_pb2 as pb
from sixfold.eval.v1 import release_pb2

_STATUS: dict[int, r.ReleaseStatus] = {
    release_pb2.RELEASE_STATUS_EVALUATING: "evaluating",
    release_pb2.RELEASE_STATUS_REFUSED: "refused",
    release_pb2.RELEASE_STATUS_AWAITING_APPROVAL: "awaiting_approval",
    release_pb2.RELEASE_STATUS_CANARY: "canary",
    release_pb2.RELEASE_STATUS_PROMOTED: "promoted",
    release_pb2.RELEASE_STATUS_ROLLED_BACK: "rolled_back",
}


class GrpcReleasesClient:
    """`gateway.jobs.ports.Releasing` over the eval service's channel, which is not this one's to close."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    async def create_release(
        self,
        asker: Asker,
        request_id: str,
        *,
        alias: str,
        candidate: str,
        run_ids: Sequence[str],
        policy: str,
        subject: str,
        role: str,
        deadline: float,
    ) -> r.Release:
        """See the port, here and below."""
        request = pb.CreateReleaseRequest(
            request_id=request_id,
            alias=alias,
            candidate=candidate,
            run_ids=run_ids,
            policy=policy,
            subject=subject,
            role=role,
        )
        answer = await self._service.ask(asker, "CreateRelease", request, pb.CreateReleaseResponse, deadline)
        return of_release(answer.release)

    async def get_release(self, asker: Asker, release_id: str, *, deadline: float) -> r.Release:
        request = pb.GetReleaseRequest(release_id=release_id)
        answer = await self._service.ask(asker, "GetRelease", request, pb.GetReleaseResponse, deadline)
        return of_release(answer.release)

    async def list_releases(
        self, asker: Asker, page: Page, *, alias: str, deadline: float
    ) -> Listed[r.Release]:
        request = pb.ListReleasesRequest(page=to_page(page), alias=alias)
        answer = await self._service.ask(asker, "ListReleases", request, pb.ListReleasesResponse, deadline)
        return Listed([of_release(each) for each in answer.releases], answer.has_more)

    async def approve_release(
        self,
        asker: Asker,
        request_id: str,
        release_id: str,
        *,
        approved: bool,
        comment: str,
        subject: str,
        role: str,
        deadline: float,
    ) -> r.Release:
        request = pb.ApproveReleaseRequest(
            request_id=request_id,
            release_id=release_id,
            approved=approved,
            comment=comment,
            subject=subject,
            role=role,
        )
        answer = await self._service.ask(
            asker, "ApproveRelease", request, pb.ApproveReleaseResponse, deadline
        )
        return of_release(answer.release)

    async def roll_back(
        self,
        asker: Asker,
        request_id: str,
        alias: str,
        *,
        reason: str,
        subject: str,
        role: str,
        deadline: float,
    ) -> r.Release:
        request = pb.RollBackRequest(
            request_id=request_id, alias=alias, reason=reason, subject=subject, role=role
        )
        answer = await self._service.ask(asker, "RollBack", request, pb.RollBackResponse, deadline)
        return of_release(answer.release)


def of_release(given: release_pb2.Release) -> r.Release:
    seen = given.canary
    return r.Release(
        id=given.id,
        alias=given.alias,
        champion=given.champion,
        candidate=given.candidate,
        versions=list(given.versions),
        status=_STATUS.get(given.status, "evaluating"),
        reason=given.reason,
        verdicts=[
            r.Verdict(
                rule=each.rule,
                passed=each.passed,
                reason=each.reason,
                comparison=of_comparison(each.comparison) if each.HasField("comparison") else None,
            )
            for each in given.verdicts
        ],
        policy=given.policy,
        policy_sha256=given.policy_sha256,
        run_ids=list(given.run_ids),
        approvals=[
            r.Approval(each.subject, each.role, each.approved, each.at, each.comment)
            for each in given.approvals
        ],
        share=given.share,
        canary=r.Canary(
            metric=seen.metric,
            champion_answers=seen.champion_answers,
            candidate_answers=seen.candidate_answers,
            champion_good=seen.champion_good,
            candidate_good=seen.candidate_good,
            low=seen.low,
            high=seen.high,
        )
        if given.HasField("canary")
        else None,
        created_at=given.created_at,
        changed_at=given.changed_at,
        subject=given.subject,
    )
