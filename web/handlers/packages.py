"""What can be bought for money."""

from atelier.orders import packages
from web.handlers.authoring import VARY
from web.routing import Call, Endpoint, Reply
from web.schemas.packages import PackageAnswer, PackagesAnswer


async def list_packages(call: Call) -> Reply:
    """The packages of credits that are sold."""
    found = await call.services.db.read(packages.listed)
    shown = [PackageAnswer.of(one, locale=call.locale) for one in found]
    return Reply(PackagesAnswer(packages=shown), headers=VARY)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/payments/credits/packages",
        handler=list_packages,
        summary=("积分套餐", "Packages of credits"),
        tag="payments",
        auth="public",
        answer=PackagesAnswer,
    ),
)
