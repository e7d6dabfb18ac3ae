"""Who works on a project, on the wire."""

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from atelier.accounts.rules import EMAIL_MAX, USERNAME
from atelier.collaboration.inviting import Team
from web.schemas.model import Answer, Body, Timestamp
from web.schemas.projects import MakerAnswer

Role = Literal["editor", "viewer"]


class CollaborateBody(Body):
    """Whom to invite: by e-mail address or by username, one of the two."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "mei@example.com", "role": "editor"}]})

    email: str | None = Field(None, min_length=3, max_length=EMAIL_MAX, json_schema_extra={"format": "email"})
    username: str | None = Field(None, max_length=50, pattern=USERNAME)
    role: Role

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.email is None) == (self.username is None):
            raise PydanticCustomError("email_or_username", "Either email or username")
        return self


class InvitedAnswer(Answer):
    """The invitation is made, whether or not anybody has this address."""

    success: Literal[True] = True


class CollaboratorAnswer(MakerAnswer):
    """Someone who works on the project with its owner."""

    role: Role
    joined_at: Timestamp


class InvitationAnswer(Answer):
    """An invitation that has not been accepted, as its owner wrote it."""

    id: str
    email: str | None
    username: str | None
    role: Role
    created_at: Timestamp
    expires_at: Timestamp


class TeamAnswer(Answer):
    """Everyone who works on the project."""

    owner: MakerAnswer
    collaborators: list[CollaboratorAnswer]
    invitations: list[InvitationAnswer] | None = Field(description="for the owner only")

    @classmethod
    def of(cls, team: Team) -> Self:
        """The team as its members see it."""
        return cls(
            owner=MakerAnswer.of(team.owner),
            collaborators=[
                CollaboratorAnswer.model_validate(
                    {**MakerAnswer.of(one.person).model_dump(), "role": one.role, "joined_at": one.joined_ms}
                )
                for one in team.collaborators
            ],
            invitations=None
            if team.invitations is None
            else [
                InvitationAnswer.model_validate(
                    {
                        "id": one.id,
                        **_address(one.address),
                        "role": one.role,
                        "created_at": one.created_ms,
                        "expires_at": one.expires_ms,
                    }
                )
                for one in team.invitations
            ],
        )


def _address(address: str) -> dict[str, Any]:
    if address.startswith("@"):
        return {"email": None, "username": address[1:]}
    return {"email": address, "username": None}
