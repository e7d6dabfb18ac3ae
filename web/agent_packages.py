"""From a package that someone sent to a definition, and to an icon that is in the storage before the agent is."""

import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from atelier.catalog import packages, proposals
from atelier.catalog.definition import Definition
from atelier.catalog.packages import Package
from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.files import models, names
from atelier.files.intake import Prepared, Sent
from atelier.files.service import NewFile
from atelier.kernel.errors import Invalid, Refusal
from atelier.kernel.ids import new_id
from atelier.storage.port import StorageUnavailable
from web import outputs, problems
from web.handlers.authoring import offered
from web.routing import Call
from web.schemas.agent_body import AgentBody
from web.uploads import UPLOADS, fingerprinted


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A package that can become an agent. `icon` is in the storage and belongs to nobody yet."""

    definition: Definition
    keyed: Keyed | None
    icon: NewFile | None


@asynccontextmanager
async def taken(call: Call) -> AsyncGenerator[Taken]:
    """The request's package; its icon is taken back when the block refuses it.

    Raises Refused, Invalid and what is refused about pictures.
    """
    uploads = call.request.app[UPLOADS]
    async with uploads.receiving(call, limit=packages.PACKAGE_BYTES_MAX) as received:
        keyed = fingerprinted(call.keyed, received)
        package = await uploads.in_thread(lambda: packages.read(received.file, name=received.name))
    definition = _definition(call, package)
    answered = await call.services.db.read(idempotency.find, keyed) if keyed else None
    icon = await _kept_icon(call, package) if package.icon_name and answered is None else None
    if icon:
        definition = replace(definition, icon_url=names.url(icon.id))
    try:
        yield Taken(definition=definition, keyed=keyed, icon=icon)
    except Refusal:  # After any other failure the agent may be there all the same.
        if icon:
            await _discard(call, icon)
        raise


def _definition(call: Call, package: Package) -> Definition:
    """What the package says, checked as POST /api/agents checks it. Raises Invalid with the names of its files."""
    document = dict(package.manifest)
    inline: Any = document.get("examples", [])
    count = len(inline) if inline.__class__ is list else 0
    if package.examples and inline.__class__ is list:
        document["examples"] = [*inline, *package.examples.values()]
    try:
        body = AgentBody.model_validate_json(to_json(document))
        return proposals.define(body.proposal, offers=offered(call.services.settings))
    except PydanticSerializationError as error:
        broken = {"path": [package.manifest_name], "message": "Not valid text.", "code": "string_unicode"}
        raise Invalid([broken]) from error
    except ValidationError as error:
        found = [dict(one) for one in problems.of_validation(error).details]
        raise Invalid([_placed(one, package, inline=count) for one in found]) from error
    except Invalid as invalid:
        raise Invalid([_placed(one, package, inline=count) for one in invalid.fields]) from invalid


def _placed(detail: dict[str, Any], package: Package, *, inline: int) -> dict[str, Any]:
    """The same detail with the file that it is about at the beginning of its path."""
    path: list[str | int] = list(detail["path"])
    if len(path) > 1 and path[0] == "examples" and isinstance(path[1], int) and path[1] >= inline:
        place: list[str | int] = [list(package.examples)[path[1] - inline], *path[2:]]
    else:
        place = [package.manifest_name, *path]
    return {**detail, "path": place}


async def _kept_icon(call: Call, package: Package) -> NewFile:
    uploads, storage = call.request.app[UPLOADS], call.request.app[outputs.STORAGE]
    sent = Sent(file=io.BytesIO(package.icon), name=package.icon_name or "", content_type="")
    prepared: Prepared = await uploads.look(lambda: uploads.intake.prepare_avatar(sent))
    with prepared.file:
        key = await uploads.in_thread(lambda: prepared.keep(storage))
    return NewFile(
        id=new_id(),
        owner_id=call.user.user_id,
        kind=models.ICON,
        name=prepared.name,
        type=prepared.type,
        size=prepared.size,
        sha256=prepared.sha256,
        key=key,
    )


async def _discard(call: Call, icon: NewFile) -> None:
    """These bytes belong to nobody; if they can't be deleted now, the collector finds them."""
    storage = call.request.app[outputs.STORAGE]
    with suppress(StorageUnavailable):
        await call.request.app[UPLOADS].in_thread(lambda: storage.delete(icon.key))
