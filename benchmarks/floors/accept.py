"""The straightforward way to accept a job: token, one transaction of three statements in a thread, then `send_task`.

python -m benchmarks.floors.accept PORT DATABASE_URL BROKER_URL     (makes its own tables floor_…)
"""

import asyncio
import itertools
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import jwt
import uvloop
from aiohttp import web
from celery import Celery  # noqa: TID251 - what is measured here is plain Celery
from sqlalchemy import Engine, create_engine, text

SECRET = "floor-secret-floor-secret-floor-secret"
TOKEN = jwt.encode({"sub": "1"}, SECRET, "HS256")
USERS = 1_000
THREADS = 16

SCHEMA = (
    "drop table if exists floor_account",
    "drop table if exists floor_job",
    "drop table if exists floor_entry",
    "create table floor_account(id int primary key, balance bigint not null)",
    """create table floor_job(
        id bigint auto_increment primary key, user_id int, state varchar(10), body text, idem char(36) unique)""",
    """create table floor_entry(
        id bigint auto_increment primary key, user_id int, job_id bigint, amount bigint, kind varchar(8),
        unique(job_id, kind))""",
)
FILL = text("insert into floor_account values (:id, 1000000000)")
SPEND = text("update floor_account set balance = balance - 5 where id = :user and balance >= 5")
JOB = text("insert into floor_job(user_id, state, body, idem) values (:user, 'pending', :body, :idem)")
ENTRY = text("insert into floor_entry(user_id, job_id, amount, kind) values (:user, :job, -5, 'hold')")


class Floor:
    """One database, one broker, sixteen threads."""

    def __init__(self, database_url: str, broker_url: str) -> None:
        self.broker = Celery("floor", broker=broker_url, backend=None)
        self.broker.conf.update(task_ignore_result=True, task_default_queue="floor")
        self.engine: Engine = create_engine(database_url, pool_size=THREADS, max_overflow=0)
        self.threads = ThreadPoolExecutor(THREADS)
        self.turn = itertools.count()
        with self.engine.begin() as setup:
            for statement in SCHEMA:
                setup.execute(text(statement))
            setup.execute(FILL, [{"id": number + 1} for number in range(USERS)])

    def submit(self, user: int) -> int:
        """Take the credits, write job and entry, send the message."""
        with self.engine.begin() as connection:
            connection.execute(SPEND, {"user": user})
            new = {"user": user, "body": '{"prompt":"a cat"}', "idem": str(uuid.uuid4())}
            job: int = connection.execute(JOB, new).lastrowid
            connection.execute(ENTRY, {"user": user, "job": job})
        self.broker.send_task("floor.run", (job,))
        return job

    async def accept(self, request: web.Request) -> web.Response:
        """Answer."""
        jwt.decode(TOKEN, SECRET, ["HS256"])
        await request.json()
        user = next(self.turn) % USERS + 1
        job = await asyncio.get_running_loop().run_in_executor(self.threads, self.submit, user)
        return web.json_response({"jobId": job}, status=202)


def main() -> None:
    """Serve until terminated."""
    floor = Floor(sys.argv[2], sys.argv[3])
    app = web.Application()
    app.router.add_post("/generate", floor.accept)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main()
