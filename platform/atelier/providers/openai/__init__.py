"""The adapter for every endpoint that speaks OpenAI's protocol: three providers on one client."""

from atelier.providers.openai.chat import OpenAIChat
from atelier.providers.openai.client import Endpoint
from atelier.providers.openai.media import OpenAIImages, OpenAISpeech

__all__ = ["Endpoint", "OpenAIChat", "OpenAIImages", "OpenAISpeech"]
