"""The routes that the first drafts promise to their front ends, as the page of the HTTP surface lists them.

What is drawn up here must be driven: a test that asks a route as a front end does says so by `@drives("GET /api/…")`,
and is held to it by the fixture `driven`.
"""

import re
from typing import Final

import pytest

from tests.contract import front_end

MARKETPLACE: Final = """
POST   /api/auth/register
POST   /api/auth/verify-email
POST   /api/auth/verify-email/resend
POST   /api/auth/login
POST   /api/auth/logout
POST   /api/auth/forgot-password
POST   /api/auth/reset-password
POST   /api/auth/change-password
GET    /api/auth/profile
PUT    /api/auth/profile
GET    /api/agents
POST   /api/agents
GET    /api/agents/{agentId}
PUT    /api/agents/{agentId}
DELETE /api/agents/{agentId}
GET    /api/agents/{agentId}/reviews
POST   /api/agents/{agentId}/reviews
POST   /api/agents/{agentId}/purchase
GET    /api/agents/categories
GET    /api/agents/search
POST   /api/agents/upload
GET    /api/workshop/projects
POST   /api/workshop/projects
GET    /api/workshop/projects/{projectId}
PUT    /api/workshop/projects/{projectId}
DELETE /api/workshop/projects/{projectId}
POST   /api/workshop/projects/{projectId}/restore
GET    /api/workshop/projects/{projectId}/versions
POST   /api/workshop/projects/{projectId}/versions
POST   /api/workshop/projects/{projectId}/versions/{version}/restore
GET    /api/workshop/projects/{projectId}/collaborate
POST   /api/workshop/projects/{projectId}/collaborate
POST   /api/workshop/projects/{projectId}/collaborate/accept
DELETE /api/workshop/projects/{projectId}/collaborate/{userId}
POST   /api/workshop/generate
POST   /api/payments/credits/purchase
GET    /api/payments/credits/packages
GET    /api/payments/credits/balance
GET    /api/payments/credits/history
GET    /api/payments/orders
GET    /api/payments/orders/{orderId}
POST   /api/payments/orders/{orderId}/cancel
POST   /api/payments/orders/{orderId}/pay
POST   /api/payments/webhooks/alipay
POST   /api/payments/webhooks/wechat
GET    /api/users/{userId}
PUT    /api/users/{userId}
POST   /api/users/avatar
GET    /api/users/settings
PUT    /api/users/settings
GET    /api/admin/users
POST   /api/admin/users/{userId}/role
POST   /api/admin/users/{userId}/disable
POST   /api/admin/users/{userId}/enable
POST   /api/admin/users/{userId}/credits
GET    /api/admin/agents
POST   /api/admin/agents/{agentId}/approve
POST   /api/admin/agents/{agentId}/reject
GET    /api/admin/analytics
GET    /api/admin/audit
GET    /api/admin/categories
POST   /api/admin/categories
PUT    /api/admin/categories/{categoryId}
DELETE /api/admin/categories/{categoryId}
GET    /api/admin/packages
POST   /api/admin/packages
PUT    /api/admin/packages/{packageId}
POST   /api/admin/orders/{orderId}/refund
POST   /api/files/upload
POST   /api/files/uploads
GET    /api/files/{fileId}
DELETE /api/files/{fileId}
GET    /api/notifications
POST   /api/notifications/{notificationId}/read
POST   /api/notifications/read-all
DELETE /api/notifications/{notificationId}
GET    /api/health
GET    /api/health/live
GET    /api/health/ready
GET    /health/live
GET    /health/ready
"""
CREDITS_SERVICE: Final = """
GET    /health
POST   /auth/login
POST   /auth/verify
GET    /credits/balance
POST   /credits/consume
POST   /logs/create
"""
ROUTES: Final = frozenset(" ".join(line.split()) for line in (MARKETPLACE + CREDITS_SERVICE).split("\n") if line)

drives = pytest.mark.drives


def promised(request: pytest.FixtureRequest) -> frozenset[str]:
    """The routes that a test says it drives."""
    return frozenset(route for mark in request.node.iter_markers(drives.name) for route in mark.args)


def answered(since: int) -> frozenset[str]:
    """The routes that a front end has asked in this process, and was answered as it hoped, from the n-th request on."""
    return frozenset(route for method, path in front_end.SERVED[since:] if (route := _named(method, path)))


def _named(method: str, path: str) -> str | None:
    asked = f"{method} {path.partition('?')[0]}"
    if asked in ROUTES:
        return asked
    return next((route for route, form in _FORMS.items() if form.fullmatch(asked)), None)


_FORMS: Final = {route: re.compile(re.sub(r"\{\w+\}", "[^/]+", route)) for route in ROUTES}
