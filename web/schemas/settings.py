"""What a user prefers, as it is shown and as it is changed."""

from typing import Any, Self

from pydantic import ConfigDict, Field

from atelier.accounts.preferences import Locale, Preferences, Theme
from web.schemas.model import Answer, Body


def without_default(schema: dict[str, Any]) -> None:
    """For a field whose default only says that it was left out: it is no value that could be sent."""
    del schema["default"]


class SwitchesAnswer(Answer):
    """Whether notifications of a category are mailed, and told to open windows."""

    email: bool
    live: bool


class CategoriesAnswer(Answer):
    """Every category: one's agents, their sales and reviews; projects, subscriptions, and the account itself."""

    agents: SwitchesAnswer
    sales: SwitchesAnswer
    reviews: SwitchesAnswer
    projects: SwitchesAnswer
    subscriptions: SwitchesAnswer
    account: SwitchesAnswer


class SettingsAnswer(Answer):
    """The user's preferences; nothing else that is stored with them is ever shown."""

    locale: Locale
    theme: Theme
    notifications: CategoriesAnswer

    @classmethod
    def of(cls, preferences: Preferences) -> Self:
        """The whole document."""
        switches = {
            name: SwitchesAnswer(email=one.email, live=one.live) for name, one in preferences.notifications.items()
        }
        return cls(
            locale=preferences.locale, theme=preferences.theme, notifications=CategoriesAnswer.model_validate(switches)
        )


class SwitchesBody(Body):
    """What is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": False}]})

    email: bool = Field(default=False, json_schema_extra=without_default)
    live: bool = Field(default=False, json_schema_extra=without_default)


class CategoriesBody(Body):
    """What is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"sales": {"email": True}}]})

    agents: SwitchesBody = Field(default_factory=SwitchesBody)
    sales: SwitchesBody = Field(default_factory=SwitchesBody)
    reviews: SwitchesBody = Field(default_factory=SwitchesBody)
    projects: SwitchesBody = Field(default_factory=SwitchesBody)
    subscriptions: SwitchesBody = Field(default_factory=SwitchesBody)
    account: SwitchesBody = Field(default_factory=SwitchesBody)


class SettingsBody(Body):
    """What is left out stays, on every level; nothing can be null."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"locale": "en", "notifications": {"sales": {"email": True}}}]}
    )

    locale: Locale = Field("zh", json_schema_extra=without_default)
    theme: Theme = Field("system", json_schema_extra=without_default)
    notifications: CategoriesBody = Field(default_factory=CategoriesBody)
