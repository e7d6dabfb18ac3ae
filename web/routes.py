"""The whole URL table: one line per resource."""

from collections.abc import Mapping

from web import docs_page
from web.handlers import (
    admin_agents,
    admin_analytics,
    admin_audit,
    admin_categories,
    admin_orders,
    admin_packages,
    admin_payment_cases,
    admin_statements,
    admin_users,
    agent_files,
    agents,
    auth,
    authoring,
    callbacks,
    credits,  # noqa: A004 - the resource's name
    earnings,
    events,
    files,
    generate,
    health,
    jobs,
    notifications,
    orders,
    packages,
    project_members,
    project_versions,
    projects,
    purchases,
    reviews,
    service_logs,
    users,
    webhook_endpoints,
    webhook_events,
    webhooks,
)
from web.routing import Endpoint
from web.schemas.model import Answer
from web.schemas.webhook_events import JobEventBody, PingBody

ENDPOINTS: tuple[Endpoint, ...] = (
    *health.ENDPOINTS,
    *auth.ENDPOINTS,
    *users.ENDPOINTS,
    *notifications.ENDPOINTS,
    *agents.ENDPOINTS,
    *authoring.ENDPOINTS,
    *agent_files.ENDPOINTS,
    *reviews.ENDPOINTS,
    *purchases.ENDPOINTS,
    *files.ENDPOINTS,
    *projects.ENDPOINTS,
    *project_versions.ENDPOINTS,
    *project_members.ENDPOINTS,
    *generate.ENDPOINTS,
    *jobs.ENDPOINTS,
    *events.ENDPOINTS,
    *webhook_endpoints.ENDPOINTS,
    *webhook_events.ENDPOINTS,
    *credits.ENDPOINTS,
    *packages.ENDPOINTS,
    *orders.ENDPOINTS,
    *earnings.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *callbacks.ENDPOINTS,
    *admin_users.ENDPOINTS,
    *admin_agents.ENDPOINTS,
    *admin_categories.ENDPOINTS,
    *admin_payment_cases.ENDPOINTS,
    *admin_packages.ENDPOINTS,
    *admin_orders.ENDPOINTS,
    *admin_analytics.ENDPOINTS,
    *admin_audit.ENDPOINTS,
    *admin_statements.ENDPOINTS,
    *service_logs.ENDPOINTS,
    *docs_page.ENDPOINTS,
)

# What we send to the addresses that users name: summaries and bodies.
WEBHOOKS: Mapping[str, tuple[tuple[str, str], type[Answer]]] = {
    "job": (("任务结束", "A job has ended"), JobEventBody),
    "webhook.ping": (("测试事件", "A test event"), PingBody),
}

TAGS: Mapping[str, tuple[str, str]] = {
    "auth": ("账户与登录", "Accounts and sign-in"),
    "users": ("用户", "Users"),
    "notifications": ("通知", "Notifications"),
    "agents": ("智能体", "Agents"),
    "workshop": ("创作", "Creating"),
    "files": ("文件", "Files"),
    "jobs": ("任务", "Jobs"),
    "events": ("实时事件", "Live events"),
    "webhooks": ("Webhook", "Webhooks"),
    "credits": ("积分", "Credits"),
    "payments": ("支付", "Payments"),
    "service": ("积分服务接口", "The credits service's paths"),
    "admin": ("管理", "Administration"),
    "health": ("健康检查", "Health"),
    "docs": ("文档", "Documentation"),
}
