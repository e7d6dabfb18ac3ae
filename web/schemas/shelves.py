"""Categories as administrators arrange them, in both languages."""

from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field

from atelier.catalog.categories import Shelf
from web.schemas.model import Answer, Body, Line

POSITION_MAX = 10_000


class CategoryBody(Body):
    """A shelf of the marketplace, named in both languages."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"slug": "teaching", "nameZh": "教学课件", "nameEn": "Teaching", "color": "#0ea5e9", "position": 5}
            ]
        }
    )

    slug: Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    name_zh: Line = Field(min_length=1, max_length=100)
    name_en: Line = Field(min_length=1, max_length=100)
    color: Annotated[str, Field(max_length=7, pattern=r"^#[0-9a-f]{6}$")]
    position: int = Field(ge=0, le=POSITION_MAX, description="place among the others, the lowest first")

    @property
    def values(self) -> dict[str, Any]:
        """The columns."""
        return self.model_dump(by_alias=False)


class ShelfAnswer(Answer):
    """A category in both languages, with how many published agents it has."""

    id: str
    slug: str
    name_zh: str
    name_en: str
    color: str
    position: int
    count: int

    @classmethod
    def of(cls, shelf: Shelf) -> Self:
        """The category as administrators see it."""
        return cls(**asdict(shelf))


class ShelvesAnswer(Answer):
    """Every category, in its order."""

    categories: list[ShelfAnswer]

    @classmethod
    def of(cls, shelves: list[Shelf]) -> Self:
        """The categories."""
        return cls(categories=[ShelfAnswer.of(one) for one in shelves])


class CategoryMadeAnswer(Answer):
    """There is a new category."""

    success: Literal[True] = True
    id: str
