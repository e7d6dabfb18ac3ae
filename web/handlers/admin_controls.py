"""Operators hold queues and providers back, limit and test providers, and let them go again."""

from collections.abc import Collection
from functools import partial

from atelier.generation import controlling, probing
from atelier.generation.controlling import Limits, State
from atelier.jobs.lane_models import PROVIDER, QUEUE
from atelier.kernel.ids import new_id
from web.handlers.admin_jobs import act
from web.handlers.authoring import offered
from web.routing import Call, Endpoint, Reply
from web.schemas.admin_controls import (
    LimitsBody,
    ProbeAnswer,
    ProviderAnswer,
    ProvidersAnswer,
    QueueAnswer,
    QueuesAnswer,
)
from web.schemas.admin_jobs import WhyBody
from web.submissions import SUBMISSIONS


async def list_queues(call: Call) -> QueuesAnswer:
    """Every queue of jobs, and what waits and runs in it."""
    found = await call.services.db.read(controlling.queues_standing)
    return QueuesAnswer(queues=[QueueAnswer.of(one) for one in found])


async def list_providers(call: Call) -> ProvidersAnswer:
    """Every provider, and its health."""
    found = await call.services.db.read(controlling.providers_standing, names=_known(call), now_ms=call.now_ms)
    return ProvidersAnswer(providers=[ProviderAnswer.of(one) for one in found])


async def hold_queue(call: Call, *, state: State) -> QueueAnswer:
    """Hold a queue back, or let it go."""
    name = call.path["queue"]
    await call.services.db.read(controlling.queue, name=name)
    await _hold(call, kind=QUEUE, name=name, state=state)
    return QueueAnswer.of(await call.services.db.read(controlling.queue, name=name))


async def hold_provider(call: Call, *, state: State) -> ProviderAnswer:
    """Hold a provider back, or let it go; letting it go forgives it what it failed before."""
    name = (await _provider(call)).name
    await _hold(call, kind=PROVIDER, name=name, state=state)
    return await _provider(call)


async def limit_provider(call: Call) -> ProviderAnswer:
    """Limit how many jobs of a provider run at once and start in a minute."""
    body: LimitsBody = call.body
    name = (await _provider(call)).name
    await call.services.db.transact(
        controlling.limit,
        provider=name,
        limits=Limits(in_flight_max=body.in_flight_max, per_minute=body.per_minute, burst=body.burst),
        act=act(call, body.reason),
        window=call.services.settings.user_window,
        now_ms=call.now_ms,
    )
    call.request.app[SUBMISSIONS].wake()
    return await _provider(call)


async def test_provider(call: Call) -> Reply:
    """Have a worker make one cheap call; what came of it is shown with the provider."""
    body: WhyBody = call.body
    name = (await _provider(call)).name
    probe = await call.services.db.transact(
        probing.ask, probe_id=new_id(), provider=name, act=act(call, body.reason), now_ms=call.now_ms
    )
    call.request.app[SUBMISSIONS].wake()
    return Reply(ProbeAnswer.of(probe), status=202)


async def _hold(call: Call, *, kind: str, name: str, state: State) -> None:
    body: WhyBody = call.body
    await call.services.db.transact(
        controlling.hold,
        kind=kind,
        name=name,
        state=state,
        act=act(call, body.reason),
        window=call.services.settings.user_window,
        now_ms=call.now_ms,
    )
    call.request.app[SUBMISSIONS].wake()


async def _provider(call: Call) -> ProviderAnswer:
    found = await call.services.db.read(
        controlling.provider, name=call.path["provider"], names=_known(call), now_ms=call.now_ms
    )
    return ProviderAnswer.of(found)


def _known(call: Call) -> Collection[str]:
    return offered(call.services.settings).keys()


_admin = partial(Endpoint, tag="admin", auth="admin", cache="no-store")
_queue = partial(_admin, method="POST", body=WhyBody, answer=QueueAnswer, errors=("NOT_FOUND",))
_provide = partial(_admin, method="POST", body=WhyBody, answer=ProviderAnswer, errors=("NOT_FOUND",))

ENDPOINTS = (
    _admin(
        method="GET",
        path="/api/admin/queues",
        handler=list_queues,
        summary=("队列状态", "List queues"),
        answer=QueuesAnswer,
    ),
    _queue(
        path="/api/admin/queues/{queue}/pause",
        handler=partial(hold_queue, state="paused"),
        summary=("暂停队列", "Pause a queue"),
    ),
    _queue(
        path="/api/admin/queues/{queue}/resume",
        handler=partial(hold_queue, state="open"),
        summary=("恢复队列", "Resume a queue"),
    ),
    _queue(
        path="/api/admin/queues/{queue}/drain",
        handler=partial(hold_queue, state="draining"),
        summary=("排空队列", "Drain a queue"),
    ),
    _admin(
        method="GET",
        path="/api/admin/providers",
        handler=list_providers,
        summary=("生成服务状态", "List providers and their health"),
        answer=ProvidersAnswer,
    ),
    _provide(
        path="/api/admin/providers/{provider}/pause",
        handler=partial(hold_provider, state="paused"),
        summary=("暂停生成服务", "Pause a provider"),
    ),
    _provide(
        path="/api/admin/providers/{provider}/resume",
        handler=partial(hold_provider, state="open"),
        summary=("恢复生成服务", "Resume a provider"),
    ),
    _provide(
        path="/api/admin/providers/{provider}/drain",
        handler=partial(hold_provider, state="draining"),
        summary=("排空生成服务", "Drain a provider"),
    ),
    _admin(
        method="PUT",
        path="/api/admin/providers/{provider}/limits",
        handler=limit_provider,
        summary=("设置生成服务上限", "Limit a provider"),
        body=LimitsBody,
        answer=ProviderAnswer,
        errors=("NOT_FOUND",),
    ),
    _admin(
        method="POST",
        path="/api/admin/providers/{provider}/test",
        handler=test_provider,
        summary=("测试生成服务", "Test a provider"),
        body=WhyBody,
        answer=ProbeAnswer,
        status=202,
        errors=("NOT_FOUND",),
    ),
)
