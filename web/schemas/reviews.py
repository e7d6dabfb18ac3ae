"""Reviews of agents on the wire."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field

from atelier.catalog.authoring_models import COMMENT_MAX
from atelier.marketplace.reviewing import Signed
from web.schemas.agents import CreatorAnswer
from web.schemas.model import Answer, Body, PageQuery, Pagination, Timestamp
from web.schemas.texts import LINES, SEEN


class ReviewBody(Body):
    """What a user thinks of an agent. Sent again, it takes the place of what they said before."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"rating": 5, "comment": "画得很快，配色舒服。"}]})

    rating: int = Field(ge=1, le=5)
    comment: Annotated[str, Field(max_length=COMMENT_MAX), LINES, SEEN] | None = None


class ReviewAnswer(Answer):
    """What a user thinks of an agent."""

    id: str
    user: CreatorAnswer
    rating: int
    comment: str | None
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, signed: Signed) -> Self:
        """The review as everyone sees it."""
        review = signed.review
        return cls(
            id=review.id,
            user=CreatorAnswer.of(signed.author),
            rating=review.rating,
            comment=review.comment,
            created_at=review.created_ms,
            updated_at=review.updated_ms,
        )


class ReviewsAnswer(Answer):
    """A page of reviews, the newest first."""

    reviews: list[ReviewAnswer]
    pagination: Pagination

    @classmethod
    def of(cls, found: list[Signed], *, total: int, query: PageQuery) -> Self:
        """The page."""
        return cls(reviews=[ReviewAnswer.of(one) for one in found], pagination=Pagination.of(query, total=total))


class ReviewedAnswer(Answer):
    """The review as it stands now."""

    success: Literal[True] = True
    review: ReviewAnswer
