"""What authors send: an agent as a whole, in a request or in a package."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from atelier.catalog.models import DESCRIPTION_MAX, NAME_MAX
from atelier.catalog.prices import PRICE_MAX
from atelier.catalog.pricing import Unit
from atelier.catalog.proposals import MAPPED_MAX, TEMPLATE, Proposal
from web.schemas.agents import PriceType
from web.schemas.model import Body, JsonObject, Line, Uuid
from web.schemas.texts import LINES, SEEN, Text, Word

Kind = Literal["text", "image", "audio", "video"]
TAGS_PER_AGENT = 10
WORDS_MAX = 20
EXAMPLES_MAX = 10
REVISION_MAX = 2**31 - 1


def _fixed(value: str) -> str:
    if value != "fixed":
        raise PydanticCustomError("pricing_unsupported", "Only fixed prices are possible")
    return value


Language = Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$")]
FileKind = Annotated[str, Field(max_length=32, pattern=r"^[a-z][a-z0-9_.+/-]{0,31}$")]
FixedPricing = Annotated[
    str, AfterValidator(_fixed), Field(max_length=32), WithJsonSchema({"type": "string", "enum": ["fixed"]})
]


Source = Annotated[str, Field(max_length=80, pattern=r"^(output|(config|inputData)\.[A-Za-z_][A-Za-z0-9_]*)$")]


class RuntimeBody(Body):
    """What runs the agent: one of the platform's providers and how it is asked. It is never shown to the public."""

    provider: Annotated[str, Field(max_length=32, pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    model: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$|^$")] = ""
    prompt_template: Text = Field(
        TEMPLATE, min_length=1, max_length=8_000, description="`{{name}}` stands for that field of inputData"
    )
    parameter_mapping: JsonObject = Field(
        default_factory=dict[str, Any],
        json_schema_extra={"maxProperties": MAPPED_MAX},
        description='the provider\'s parameter → "config.<name>", "inputData.<name>" or {"value": …}',
    )


class PricingBody(Body):
    """How the price is made: a fixed one by basePrice or creditsPerUse, a metered one by these numbers of credits."""

    unit: Unit = "fixed"
    model: FixedPricing | None = Field(
        None, deprecated=True, description="what `unit` was called while there was nothing but `fixed`"
    )
    credits: Annotated[int, Field(ge=1, le=PRICE_MAX)] | None = Field(
        None, description="per unit, of which one that is begun counts; metered prices only, and needed there"
    )
    minimum: Annotated[int, Field(ge=0, le=PRICE_MAX)] | None = Field(
        None, description="what a use costs at least, once something is made"
    )
    maximum: Annotated[int, Field(ge=1, le=PRICE_MAX)] | None = Field(
        None, description="what a use costs at most; needed for metered prices, whose creditsPerUse it is"
    )
    quantity: Source | None = Field(
        None,
        description="what tells beforehand how much there will be: `config.<name>`, `inputData.<name>`, or `output`: "
        "nothing does, and the maximum is held",
    )


class ExampleBody(Body):
    """Something that one may try."""

    title: Line = Field(min_length=1, max_length=100)
    input_data: JsonObject
    config: JsonObject = Field(default_factory=dict[str, Any])
    output: Annotated[str, Field(max_length=4_000), LINES, SEEN] | None = Field(
        None, description="what came of it, as text"
    )


class AgentBody(Body):
    """An agent as its author wants it. Without `runtime` one of the platform's own providers makes outputTypes[0]."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "水墨海报",
                    "description": "用一句话画出水墨风格的海报，适合活动与封面。",
                    "categoryId": "01990000-0000-7000-8000-000000000102",
                    "priceType": "pay_per_use",
                    "creditsPerUse": 6,
                    "capabilities": ["海报"],
                    "supportedLanguages": ["zh", "en"],
                    "inputTypes": ["text"],
                    "outputTypes": ["image"],
                    "tags": ["水墨", "海报"],
                }
            ]
        }
    )

    name: Line = Field(min_length=1, max_length=NAME_MAX)
    description: Text = Field(min_length=10, max_length=DESCRIPTION_MAX)
    detailed_description: Annotated[str, Field(max_length=20_000), LINES, SEEN] | None = None
    category_id: Uuid
    price_type: PriceType
    base_price: int | None = Field(
        None, ge=0, le=PRICE_MAX, description="credits; at least 1 for one_time and subscription"
    )
    credits_per_use: int | None = Field(
        None, ge=1, le=PRICE_MAX, description="credits; needed for pay_per_use; the maximum where it is metered"
    )
    pricing: PricingBody | None = None
    result_days: Annotated[int, Field(ge=1, le=365)] | None = Field(
        None, description="how many days results are kept at least; without it as many as the platform says"
    )
    capabilities: list[Word] = Field(max_length=WORDS_MAX)
    supported_languages: list[Language] = Field(max_length=WORDS_MAX, description="language tags, e.g. zh-Hans")
    input_types: list[FileKind] = Field(max_length=WORDS_MAX)
    output_types: list[Kind] = Field(min_length=1, max_length=4, description="the first one is what its jobs make")
    input_schema: JsonObject | None = Field(None, description="JSON Schema of inputData, without references")
    config_schema: JsonObject | None = Field(None, description="JSON Schema of config, without references")
    default_config: JsonObject | None = None
    tags: list[Word] = Field(default_factory=list[Word], max_length=TAGS_PER_AGENT)
    runtime: RuntimeBody | None = None
    examples: list[ExampleBody] = Field(default_factory=list[ExampleBody], max_length=EXAMPLES_MAX)

    @property
    def proposal(self) -> Proposal:
        """What the catalogue makes a definition of."""
        values = {name: getattr(self, name) for name in _SAME}
        return Proposal(
            **values,
            pricing=self.pricing.model_dump(exclude={"model"}) if self.pricing else None,
            runtime=self.runtime.model_dump(by_alias=True) if self.runtime else None,
            examples=[one.model_dump(by_alias=True) for one in self.examples],
        )


_SAME = AgentBody.model_fields.keys() - {"pricing", "runtime", "examples", "revision"}


class AgentChangeBody(AgentBody):
    """The agent as it shall be from now on, whole: what is left out is as in a new one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "revision": 1,
                    "name": "水墨海报",
                    "description": "用一句话画出水墨风格的海报，适合活动与封面。",
                    "categoryId": "01990000-0000-7000-8000-000000000102",
                    "priceType": "free",
                    "capabilities": ["海报"],
                    "supportedLanguages": ["zh"],
                    "inputTypes": ["text"],
                    "outputTypes": ["image"],
                }
            ]
        }
    )

    revision: Annotated[int, Field(ge=1, le=REVISION_MAX)] | None = Field(
        None, description="the one that was read; another one since is 409. Without it, whatever is there is changed"
    )
