import subprocess
import sys

from jsonschema_rs import Draft202012Validator, meta

from atelier.kernel import settings
from atelier.providers import schemas
from atelier.providers.fake_openai import FakeOpenAI
from atelier.providers.registry import ProviderOptions, build_registry
from tasks.runtime import provider_options
from tests.providers.asking import ask

LOCAL = {"outline", "local-text", "local-image", "local-audio", "local-video"}
REMOTE = {"openai", "openai-images", "openai-speech"}
EVERY_SCHEMA = {name: value for name, value in vars(schemas).items() if isinstance(value, schemas.ProviderSchemas)}


class TestRegistry:
    def test_has_the_local_providers_and_no_echo(self) -> None:
        assert set(build_registry(ProviderOptions())) == LOCAL

    def test_echo_is_for_development(self) -> None:
        assert set(build_registry(ProviderOptions(development=True))) == LOCAL | {"echo"}

    def test_names_are_the_providers_own(self) -> None:
        options = ProviderOptions(development=True, openai_base_url="https://example.org/v1")
        registry = build_registry(options)
        assert set(registry) == LOCAL | REMOTE | {"echo"}
        assert all(name == provider.name for name, provider in registry.items())

    def test_a_remote_endpoint_serves_all_three_kinds(self) -> None:
        with FakeOpenAI(api_key="sk-1") as server:
            options = ProviderOptions(
                openai_base_url=server.base_url,
                openai_api_key="sk-1",
                openai_models={"chat": "chat-small", "images": "image-small", "speech": "speech-small"},
            )
            registry = build_registry(options)
            for name, kind in (("openai", "text"), ("openai-images", "image"), ("openai-speech", "audio")):
                assert ask(registry[name], "rain").output.type == kind

    def test_the_settings_of_a_worker_say_which_models_a_remote_endpoint_has(self) -> None:
        with FakeOpenAI(api_key="sk-1") as server:
            chosen = settings.load(
                openai_url=server.base_url,
                openai_key="sk-1",
                openai_models="chat=chat-small, images=image-small, speech=speech-small, long=chat-large",
                openai_max_tokens_field="max_completion_tokens",
                jwt_secret="-",
            )
            registry = build_registry(provider_options(chosen))
            for name, kind in (("openai", "text"), ("openai-images", "image"), ("openai-speech", "audio")):
                assert ask(registry[name], "rain").output.type == kind
            ask(registry["openai"], "rain", model="long")
            asked = [call.body["model"] for call in server.calls]
            assert asked == ["chat-small", "image-small", "speech-small", "chat-large"]
            assert "max_completion_tokens" in server.calls[0].body
            assert "max_tokens" not in server.calls[0].body

    def test_the_local_writer_uses_the_embedded_server_when_there_is_one(self) -> None:
        with FakeOpenAI(api_key="sk-1") as server:
            options = ProviderOptions(llm_base_url=server.base_url, llm_api_key="sk-1")
            answer = ask(build_registry(options)["local-text"], "rain")
            assert server.calls[0].body["model"] == "smollm2"
            # This endpoint does not know that model, so the composer wrote.
            assert answer.output.metadata["reason"] == "PROVIDER_MODEL_MISSING"

    def test_keys_are_not_shown(self) -> None:
        shown = repr(ProviderOptions(llm_api_key="sk-hidden", openai_api_key="sk-hidden"))
        assert "sk-hidden" not in shown

    def test_building_it_and_running_echo_imports_nothing_heavy(self) -> None:
        program = (
            "import sys; from atelier.providers.registry import ProviderOptions, build_registry;"
            "build_registry(ProviderOptions(development=True, openai_base_url='https://example.org/v1'));"
            "print([m for m in ('numpy', 'PIL', 'av', 'httpx', 'xllamacpp', 'asyncio') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


class TestSchemas:
    def test_are_valid_bounded_and_closed(self) -> None:
        assert len(EVERY_SCHEMA) == 11
        for provider in EVERY_SCHEMA.values():
            for schema in (provider.input, provider.config):
                meta.validate(schema)
                assert schema["$schema"] == schemas.DIALECT
                assert schema["additionalProperties"] is False
                for rule in schema["properties"].values():
                    assert {"title", "x-title-zh"} <= set(rule)
                    bounds = {"maxLength"} if rule["type"] == "string" else {"minimum", "maximum"}
                    assert bounds <= set(rule)

    def test_defaults_obey_their_own_schema(self) -> None:
        for provider in EVERY_SCHEMA.values():
            Draft202012Validator(provider.config).validate(provider.defaults)

    def test_a_prompt_has_one_to_four_thousand_characters_and_says_something(self) -> None:
        for provider in EVERY_SCHEMA.values():
            validator = Draft202012Validator(provider.input)
            for good in ("x", "雨", "x" * 4000):
                assert validator.is_valid({"prompt": good})
            for bad in ("", " \n ", "x" * 4001, 5, None):
                assert not validator.is_valid({"prompt": bad})
            assert not validator.is_valid({})
            assert not validator.is_valid({"prompt": "x", "more": 1})
