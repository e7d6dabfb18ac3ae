"""The beat process: `python -m schedules`."""

import os
from typing import Any

from atelier.dispatch import broker, hooks
from atelier.kernel import alive, logs, settings
from schedules.table import Entry, timetable


def main() -> None:
    """Send ticks until stopped. Two of these do no harm."""
    chosen = settings.load()
    os.environ["ATELIER_ROLE"] = "beat"
    logs.configure(chosen, role="beat")
    hooks.on_publish(lambda: alive.touch(chosen.data_dir))
    app = broker.build(chosen)
    app.conf.beat_schedule = {
        name: _beat(entry) for name, entry in timetable(sweep_seconds=chosen.sweep_seconds).items()
    }
    chosen.data_dir.mkdir(parents=True, exist_ok=True)
    app.start(["beat", "--schedule", str(chosen.data_dir / "beat"), "--pidfile=", "--loglevel", chosen.log_level])


def _beat(entry: Entry) -> dict[str, Any]:
    options = {"queue": entry.contract.queue, "expires": entry.expires_seconds}
    return {"task": entry.contract.name, "schedule": entry.every_seconds, "kwargs": {"message": {}}, "options": options}


if __name__ == "__main__":
    main()
