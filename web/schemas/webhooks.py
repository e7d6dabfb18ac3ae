"""What payment gateways are answered."""

from typing import Literal

from web.schemas.model import Answer


class NotTaken(Answer):
    """As WeChat Pay wants to be told that a notice was not taken."""

    code: Literal["FAIL"] = "FAIL"
    message: str
