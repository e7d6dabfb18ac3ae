"""Packages of credits, as buyers and as administrators see them."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field

from atelier.orders.packages import Package, Terms
from web.messages import Locale
from web.schemas.admin_users import ReasonBody
from web.schemas.model import Answer, Line, Timestamp
from web.schemas.money import CREDITS_MAX, Fen, Yuan

POSITION_MAX = 10_000
Name = Annotated[Line, Field(min_length=1, max_length=60)]


class PackageAnswer(Answer):
    """A package. `price` is yuan for showing, `priceFen` what is paid; `version` changes with price or credits."""

    id: str
    name: str
    price: Yuan
    price_fen: int
    credits: int
    version: int

    @classmethod
    def of(cls, package: Package, *, locale: Locale) -> Self:
        """A package that is sold."""
        return cls.of_item(package.item, locale=locale)

    @classmethod
    def of_item(cls, item: dict[str, Any], *, locale: Locale) -> Self:
        """A package as an order keeps it."""
        return cls(
            id=item["id"],
            name=item["nameEn" if locale == "en" else "nameZh"],
            price=item["priceFen"],
            price_fen=item["priceFen"],
            credits=item["credits"],
            version=item["version"],
        )


class PackagesAnswer(Answer):
    """What can be bought, in its order."""

    packages: list[PackageAnswer]


class PackageBody(ReasonBody):
    """What a package is called, costs and gives, and why it is so now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "nameZh": "春节套餐",
                    "nameEn": "Spring Festival",
                    "priceFen": 8_800,
                    "credits": 1_100,
                    "position": 25,
                    "reason": "春节活动",
                }
            ]
        }
    )

    name_zh: Name
    name_en: Name
    price_fen: Fen
    credits: int = Field(ge=1, le=CREDITS_MAX)
    position: int = Field(ge=0, le=POSITION_MAX, description="place among the others, the lowest first")

    @property
    def terms(self) -> Terms:
        """What is decided."""
        return Terms(**self.model_dump(by_alias=False, exclude={"reason"}))


class OfferedAnswer(Answer):
    """A package in both languages. One that is not `active` is not sold any more."""

    id: str
    version: int
    name_zh: str
    name_en: str
    price: Yuan
    price_fen: int
    credits: int
    position: int
    active: bool
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, package: Package) -> Self:
        """The package as administrators see it."""
        return cls(
            id=package.id,
            version=package.version,
            name_zh=package.name_zh,
            name_en=package.name_en,
            price=package.price_fen,
            price_fen=package.price_fen,
            credits=package.credits,
            position=package.position,
            active=bool(package.active),
            created_at=package.created_ms,
            updated_at=package.updated_ms,
        )


class OffersAnswer(Answer):
    """Every package, also those that are not sold any more."""

    packages: list[OfferedAnswer]
