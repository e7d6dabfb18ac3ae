"""The settings of the providers that generations come from: a part of `settings.Settings`."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, SecretStr
from pydantic_settings import BaseSettings, NoDecode


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Listed = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Paced = Annotated[tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat], NoDecode, BeforeValidator(_split)]


class ProviderSettings(BaseSettings):
    """Where providers are, and who we are there."""

    llm_url: str = Field("", description="base address of the embedded llama.cpp server; empty: none")
    llm_key: SecretStr = Field(SecretStr(""), description="its key")
    openai_url: str = Field("", description="base address of an OpenAI-compatible service, e.g. https://host/v1")
    openai_key: SecretStr = Field(SecretStr(""), description="its key")
    openai_models: Listed = Field(
        default_factory=list,
        description="its models that agents may use, as name or name=its-own-name, comma-separated; the names chat, "
        "images and speech are for agents that name none",
    )
    openai_max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="what it calls the longest answer: OpenAI's reasoning models know the latter only"
    )
    kling_url: str = Field("https://api-beijing.klingai.com", description="base address of Kling (可灵)")
    kling_access_key: str = Field("", description="our access key there; empty: the secret is an API key")
    kling_secret_key: SecretStr = Field(SecretStr(""), description="its secret, or the API key; empty: no Kling")
    kling_webhook_secret: SecretStr = Field(
        SecretStr(""), description="whsec_…: what its callbacks are signed with; empty: they are not"
    )
    kling_pace: Paced = Field(
        (20.0, 5.0, 30.0, 60.0),
        description="seconds until the first look at a task, between looks at least and at most, and how long a "
        "request that was not answered may still arrive",
    )
