"""Looking at what browsers sent to the storage, and removing what nobody needs."""

from atelier.contracts.messages import FileMessage, Tick
from atelier.files import checking, collecting
from atelier.generation import collecting as outputs
from atelier.generation import expiring
from atelier.kernel.clock import now_ms
from atelier.live import counters
from tasks import runtime


def check(message: FileMessage) -> None:
    """Keep or refuse one upload."""
    context = runtime.get()
    outcome, reason = checking.check(
        context.database, storage=context.storage, intake=context.intake, file_id=message.file_id
    )
    if outcome != "not ours":
        context.publisher.count(counters.add([counters.checked(outcome=outcome, reason=reason)]))


def remove(message: FileMessage) -> None:
    """Delete the bytes of one deleted file."""
    collecting.remove(runtime.get().database, storage=runtime.get().storage, file_id=message.file_id)


def collect(_tick: Tick) -> None:
    """Find what was announced and never sent, what has no row, and what lost attempts have stored."""
    collecting.collect(runtime.get().database, storage=runtime.get().storage, now_ms=now_ms())
    outputs.collect(runtime.get().database, storage=runtime.get().storage, now_ms=now_ms())


def expire(_tick: Tick) -> None:
    """Remove results that were kept for as long as was promised."""
    expiring.expire(runtime.get().database, storage=runtime.get().storage, now_ms=now_ms())
