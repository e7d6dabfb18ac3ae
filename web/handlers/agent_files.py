"""Agents that come as files: packages, and icons."""

from typing import Any

from pydantic_core import to_json
from sqlalchemy.orm import Session

from atelier.catalog import packages
from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.files import models, names
from atelier.files import service as files
from atelier.files.service import NewFile, Quota
from atelier.marketplace import authoring
from atelier.marketplace.authoring import Author
from web import agent_packages, multipart
from web.handlers.authoring import VARY, author, created, inside
from web.messages import Locale
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.agent_detail import AgentInside
from web.uploads import UPLOADS

REFUSALS = ("UNSUPPORTED_MEDIA", "IMAGE_INVALID", "IMAGE_TOO_LARGE", "PAYLOAD_TOO_LARGE")


async def upload_package(call: Call) -> Reply:
    """Make a draft of the form's field `file`: a manifest in JSON or YAML, or a zip archive of it.

    The manifest says what POST /api/agents takes. The archive holds it as `manifest.json` or `manifest.yaml`, and may
    hold `icon.png` (or jpg, webp, gif) and `examples/*.json` or `*.yaml`. What is wrong is named by file and field.
    """
    async with agent_packages.taken(call) as package:
        return await created(call, package.definition, status="draft", keyed=package.keyed, icon=package.icon)


async def upload_icon(call: Call) -> Reply:
    """Propose the form's field `file` as the agent's picture: at most 512 pixels wide and high, public."""
    uploads = call.request.app[UPLOADS]
    answer, replayed = await uploads.keep(
        call,
        kind=models.ICON,
        limit=call.services.settings.avatar_bytes_max,
        prepare=uploads.intake.prepare_avatar,
        add=_Icon(author(call), agent_id=call.path["agentId"], locale=call.locale),
        quota=None,
    )
    return Reply(raw=to_json(answer), headers={**VARY, **(REPLAYED if replayed else {})})


class _Icon:
    """Writes a stored picture down as an agent's."""

    def __init__(self, author: Author, *, agent_id: str, locale: Locale) -> None:
        self._author = author
        self._agent_id = agent_id
        self._locale: Locale = locale

    def __call__(
        self, session: Session, new: NewFile, *, quota: Quota | None, keyed: Keyed | None, now_ms: int
    ) -> tuple[Any, bool]:
        if stored := idempotency.find(session, keyed):
            return stored.answer, True
        files.add(session, new, quota=quota, keyed=None, now_ms=now_ms)
        authoring.change_icon(
            session, author=self._author, agent_id=self._agent_id, icon_url=names.url(new.id), now_ms=now_ms
        )
        answer = inside(session, author=self._author, agent_id=self._agent_id, locale=self._locale, now_ms=now_ms)
        idempotency.store(session, keyed, status=200, answer=answer, now_ms=now_ms)
        return answer, False


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/agents/upload",
        handler=upload_package,
        summary=("上传智能体包", "Upload an agent package"),
        tag="agents",
        accepts=multipart.MEDIA_TYPE,
        body_max=packages.PACKAGE_BYTES_MAX + multipart.AROUND_BYTES,
        answer=AgentInside,
        status=201,
        errors=(*REFUSALS, "TOO_MANY_UNPUBLISHED"),
        gives=("Location",),
        rate="author",
        idempotent=True,
    ),
    Endpoint(
        method="POST",
        path="/api/agents/{agentId}/icon",
        handler=upload_icon,
        summary=("上传智能体图标", "Upload an agent's icon"),
        tag="agents",
        accepts=multipart.MEDIA_TYPE,
        body_max=2**26 + multipart.AROUND_BYTES,
        answer=AgentInside,
        errors=(*REFUSALS, "AGENT_NOT_FOUND", "AGENT_ARCHIVED"),
        rate="author",
        idempotent=True,
    ),
)
