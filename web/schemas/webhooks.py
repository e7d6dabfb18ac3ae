"""What payment gateways are answered."""

from typing import Annotated, Literal

from pydantic import Field

from web.schemas.model import Answer

# Alipay's protocol is plain text: one word, and whatever is not the first of these has it send the notice again.
Success = Annotated[
    Literal["success"],
    Field(description="已收下，或此前已收下，或与订单无关 · Stored now or before, or about nothing that is kept"),
]
Fail = Annotated[
    Literal["fail"],
    Field(description="签名或商户不符，未作任何保存 · Not Alipay's signature, or not this merchant: nothing is stored"),
]


class NotTaken(Answer):
    """As WeChat Pay wants to be told that a notice was not taken."""

    code: Literal["FAIL"] = "FAIL"
    message: str
