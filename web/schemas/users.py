"""Users as others see them."""

from web.schemas.model import Answer, Timestamp


class PublicProfileAnswer(Answer):
    """What everyone may know of a user. `agentsCount` are their published agents."""

    id: str
    username: str
    display_name: str
    avatar_url: str | None
    bio: str | None
    agents_count: int
    created_at: Timestamp
