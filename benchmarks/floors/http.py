"""The least that a JSON endpoint on aiohttp can do: decode a token, parse the body, answer 202.

python -m benchmarks.floors.http PORT
"""

import asyncio
import sys

import jwt
import uvloop
from aiohttp import web

SECRET = "floor-secret-floor-secret-floor-secret"
TOKEN = jwt.encode({"sub": "1"}, SECRET, "HS256")


async def accept(request: web.Request) -> web.Response:
    """Answer."""
    jwt.decode(TOKEN, SECRET, ["HS256"])
    await request.json()
    return web.json_response({"jobId": 1}, status=202)


def main() -> None:
    """Serve until terminated."""
    app = web.Application()
    app.router.add_post("/generate", accept)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main()
