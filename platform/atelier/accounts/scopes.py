"""What an API key may be allowed to do. A route that names no scope is closed to every key."""

from typing import Literal, get_args

Scope = Literal["generate", "jobs:read", "projects:read", "projects:write", "files:read", "files:write", "credits:read"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
