"""What leads on to what: ids that an answer holds, and the operations that take them."""

import copy
import json
from typing import Any

from atelier.catalog.seed_content import ECHO

Json = dict[str, Any]
FOLLOWED_MIN = 7
# Where ids come from: path, method and status of an answer, where it is in there, and as which parameter it goes on.
FINDS = (
    ("/api/workshop/generate", "post", "202", "/jobId", "jobId"),
    ("/api/jobs/{jobId}/retry", "post", "202", "/jobId", "jobId"),
    ("/api/jobs", "get", "200", "/jobs/0/id", "jobId"),
    ("/api/jobs/batch", "post", "202", "/batchId", "batchId"),
    ("/api/agents", "get", "200", "/agents/0/id", "agentId"),
    ("/api/agents", "post", "201", "/id", "agentId"),
    ("/api/agents/mine", "get", "200", "/agents/0/id", "agentId"),
    ("/api/agents/{agentId}", "get", "200", "/creator/id", "userId"),
    ("/api/notifications", "get", "200", "/notifications/0/id", "notificationId"),
    ("/api/keys", "post", "201", "/id", "keyId"),
    ("/api/keys", "get", "200", "/keys/0/id", "keyId"),
    ("/api/workshop/projects", "post", "201", "/id", "projectId"),
    ("/api/workshop/projects", "get", "200", "/projects/0/id", "projectId"),
    ("/api/workshop/projects/{projectId}/versions", "post", "201", "/number", "version"),
    ("/api/workshop/projects/{projectId}/versions", "get", "200", "/versions/0/number", "version"),
    ("/api/workshop/projects/{projectId}/collaborate", "get", "200", "/invitations/0/id", "invitationId"),
    ("/api/files", "get", "200", "/files/0/id", "fileId"),
    ("/api/files/upload", "post", "201", "/id", "fileId"),
    ("/api/files/uploads", "post", "201", "/id", "uploadId"),
    ("/api/users/avatar", "post", "200", "/file/id", "fileId"),
    ("/api/webhooks", "post", "201", "/id", "webhookId"),
    ("/api/webhooks", "get", "200", "/webhooks/0/id", "webhookId"),
    ("/api/webhooks/{webhookId}/ping", "post", "202", "/id", "eventId"),
    ("/api/webhook-events", "get", "200", "/events/0/id", "eventId"),
    ("/api/payments/orders", "get", "200", "/orders/0/id", "orderId"),
    ("/api/admin/packages", "get", "200", "/packages/0/id", "packageId"),
    ("/api/admin/users", "get", "200", "/users/0/id", "userId"),
    ("/api/admin/agents", "get", "200", "/agents/0/id", "agentId"),
    ("/api/admin/categories", "post", "201", "/id", "categoryId"),
)
# It would end the run; and nobody is invited to what they made themselves.
NOT_FOLLOWED = "^/api/auth/logout$|/collaborate/(accept|decline)$"
# What is wrong with a request is answered by one of these, also when something else is wrong with it too.
REFUSED = ["400", "401", "403", "404", "405", "409", "413", "415", "429", "503"]
# An agent that is archived is still shown to its creator, and a key that is revoked to its user. Who is
# invited may not be found in a project that is.
SETTINGS = f"""
[checks.negative_data_rejection]
expected-statuses = {json.dumps(REFUSED)}
[[operations]]
include-path-regex = "^/api/agents/\\\\{{agentId\\\\}}"
checks.use_after_free.enabled = false
[[operations]]
include-path-regex = "^/api/keys/\\\\{{keyId\\\\}}"
checks.use_after_free.enabled = false
[[operations]]
include-path-regex = "/collaborate$"
checks.ensure_resource_availability.enabled = false
"""


def linked(document: Json) -> Json:
    """The same document, with what an operation finds leading on to all that can be done with it."""
    document = copy.deepcopy(document)
    operations = [one for path in document["paths"].values() for one in path.values()]
    for one in operations:
        one["parameters"] = [given for given in one["parameters"] if "$ref" not in given]  # without the headers
    for path, method, status, found, parameter in FINDS:
        source = document["paths"][path][method]
        source["parameters"] = [given for given in source["parameters"] if given["in"] == "path"]
        known = {name: f"$request.path.{name}" for name in _places(source)} | {parameter: f"$response.body#{found}"}
        source["responses"][status]["links"] = {
            one["operationId"]: {
                "operationId": one["operationId"],
                "parameters": {name: known[name] for name in _places(one)},
            }
            for one in operations
            if parameter in _places(one) and _places(one) <= known.keys()
        }
    of_agents = document["paths"]["/api/agents"]["get"]["responses"]["200"]["links"]
    for name, config in {"well": {}, "slowly": {"delayMs": 200}, "badly": {"fail": "permanent"}}.items():
        body = {"agentId": ECHO.id, "inputData": {"prompt": "回声"}, "config": config}
        of_agents[name] = {"operationId": "postWorkshopGenerate", "requestBody": body}
    return document


def _places(operation: Json) -> set[str]:
    return {given["name"] for given in operation["parameters"] if given["in"] == "path"}
