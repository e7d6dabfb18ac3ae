"""The document that the product publishes of its routes, made once for all tests that read it. Don't change it."""

from typing import Any, Final

from web import openapi, routes

DOCUMENT: Final[dict[str, Any]] = openapi.build(routes.ENDPOINTS, tags=routes.TAGS, server="")
