"""Whether a request to OSS is signed as it must be: versions 1 and 4, in headers, in addresses and in forms.

Written from the protocol and not from the client library, so that the two check each other.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from pydantic_core import from_json

SKEW_SECONDS = 15 * 60
LIFE_SECONDS_MAX = 7 * 24 * 3_600
VERSION_4 = "OSS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
# Parameters that version 1 signs; all others may be added by anyone.
SIGNED_PARAMETERS = frozenset(
    {
        "acl", "uploads", "location", "cors", "logging", "website", "referer", "lifecycle", "delete", "append",
        "tagging", "objectMeta", "uploadId", "partNumber", "security-token", "position", "restore", "stat",
        "bucketInfo", "symlink", "versionId", "continuation-token", "x-oss-process", "response-content-type",
        "response-content-language", "response-expires", "response-cache-control", "response-content-disposition",
        "response-content-encoding",
    }
)  # fmt: skip


class Denied(Exception):
    """The request is refused with this status and OSS's own word for the reason."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message or code


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request. Header names are in lower case; `key` is the object's, empty for the bucket itself."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Who may ask: one key, in one region."""

    key_id: str
    key_secret: str
    region: str

    def admit(self, asked: Asked, *, now_s: float) -> None:
        """Pass a request that is signed by us and holds now. Raises Denied."""
        authorization = asked.headers.get("authorization", "")
        if "x-oss-signature-version" in asked.query:
            self._version_4_address(asked, now_s)
        elif "Signature" in asked.query:
            self._version_1_address(asked, now_s)
        elif authorization.startswith(f"{VERSION_4} "):
            self._version_4_header(asked, authorization, now_s)
        elif authorization.startswith("OSS "):
            self._version_1_header(asked, authorization, now_s)
        else:
            raise Denied(403, "AccessDenied", "You have no right to access this object because of bucket acl.")

    def admit_form(self, form: Mapping[str, str], *, bucket: str, size: int, now_s: float) -> None:
        """Pass a form whose policy is signed by us and which keeps to it. Names are in lower case. Raises Denied."""
        policy = form.get("policy", "")
        if form.get("x-oss-signature-version") == VERSION_4:
            self._version_4_form(form, policy)
        else:
            self._known(form.get("ossaccesskeyid", ""))
            _same(form.get("signature", ""), self._sha1(policy))
        try:
            document: Any = from_json(base64.b64decode(policy, validate=True))
            expires = datetime.fromisoformat(document["expiration"]).timestamp()
            conditions: list[Any] = document["conditions"]
        except (binascii.Error, ValueError, KeyError, TypeError) as error:
            raise Denied(400, "InvalidPolicyDocument") from error
        if now_s >= expires:
            raise Denied(403, "AccessDenied", "Invalid according to Policy: Policy expired.")
        for condition in conditions:
            _hold(condition, {**form, "bucket": bucket}, size)

    def _version_1_header(self, asked: Asked, authorization: str, now_s: float) -> None:
        key_id, _, signature = authorization.removeprefix("OSS ").partition(":")
        self._known(key_id)
        date = asked.headers.get("x-oss-date") or asked.headers.get("date", "")
        _fresh(_http_date(date), now_s)
        _same(signature, self._sha1(_text_1(asked, date)))

    def _version_1_address(self, asked: Asked, now_s: float) -> None:
        self._known(asked.query.get("OSSAccessKeyId", ""))
        expires = asked.query.get("Expires", "")
        if not expires.isdigit() or now_s > int(expires):
            raise Denied(403, "AccessDenied", "Request has expired.")
        _same(asked.query["Signature"], self._sha1(_text_1(asked, expires)))

    def _version_4_header(self, asked: Asked, authorization: str, now_s: float) -> None:
        named = [part.strip().partition("=") for part in authorization.partition(" ")[2].split(",")]
        parts = {name: value for name, _, value in named}
        date = asked.headers.get("x-oss-date", "")
        _fresh(_compact_date(date), now_s)
        text = _text_4(asked, parts.get("AdditionalHeaders", ""), asked.headers.get("x-oss-content-sha256", UNSIGNED))
        _same(parts.get("Signature", ""), self._sha256(parts.get("Credential", ""), date, text))

    def _version_4_address(self, asked: Asked, now_s: float) -> None:
        date, life = asked.query.get("x-oss-date", ""), asked.query.get("x-oss-expires", "")
        begun = _compact_date(date)
        if not life.isdigit() or not 0 < int(life) <= LIFE_SECONDS_MAX or now_s < begun - SKEW_SECONDS:
            raise Denied(400, "AuthorizationQueryParametersError")
        if now_s > begun + int(life):
            raise Denied(403, "AccessDenied", "Request has expired.")
        text = _text_4(asked, asked.query.get("x-oss-additional-headers", ""), UNSIGNED)
        credential = asked.query.get("x-oss-credential", "")
        _same(asked.query.get("x-oss-signature", ""), self._sha256(credential, date, text))

    def _version_4_form(self, form: Mapping[str, str], policy: str) -> None:
        key = self._signing_key(form.get("x-oss-credential", ""), form.get("x-oss-date", ""))
        _same(form.get("x-oss-signature", ""), hmac.new(key, policy.encode(), hashlib.sha256).hexdigest())

    def _sha1(self, text: str) -> str:
        return base64.b64encode(hmac.new(self.key_secret.encode(), text.encode(), hashlib.sha1).digest()).decode()

    def _sha256(self, credential: str, date: str, request: str) -> str:
        key = self._signing_key(credential, date)
        scope = credential.partition("/")[2]
        text = "\n".join((VERSION_4, date, scope, hashlib.sha256(request.encode()).hexdigest()))
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def _signing_key(self, credential: str, date: str) -> bytes:
        key_id, *scope = credential.split("/")
        self._known(key_id)
        if scope != [date[:8], self.region, "oss", "aliyun_v4_request"]:
            raise Denied(403, "SignatureDoesNotMatch", "The credential's scope is not this service's.")
        key = f"aliyun_v4{self.key_secret}".encode()
        for part in scope:
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key

    def _known(self, key_id: str) -> None:
        if key_id != self.key_id:
            raise Denied(403, "InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist in our records.")


def _same(given: str, right: str) -> None:
    if not hmac.compare_digest(given.encode(), right.encode()):
        text = "The request signature we calculated does not match the signature you provided."
        raise Denied(403, "SignatureDoesNotMatch", text)


def _fresh(moment: float, now_s: float) -> None:
    if abs(now_s - moment) > SKEW_SECONDS:
        raise Denied(403, "RequestTimeTooSkewed")


def _text_1(asked: Asked, date: str) -> str:
    named = sorted((name, value) for name, value in asked.headers.items() if name.startswith("x-oss-"))
    parameters = sorted((name, value) for name, value in asked.query.items() if name in SIGNED_PARAMETERS)
    resource = f"/{asked.bucket}/{asked.key}"
    if parameters:
        resource += "?" + "&".join(f"{name}={value}" if value else name for name, value in parameters)
    headers = "".join(f"{name}:{value}\n" for name, value in named)
    kind, digest = asked.headers.get("content-type", ""), asked.headers.get("content-md5", "")
    return f"{asked.method}\n{digest}\n{kind}\n{date}\n{headers}{resource}"


def _text_4(asked: Asked, additional: str, payload: str) -> str:
    parameters = sorted((_quoted(name), _quoted(value)) for name, value in asked.query.items())
    query = "&".join(f"{name}={value}" if value else name for name, value in parameters if name != "x-oss-signature")
    always = {"content-type", "content-md5"}
    more = set(additional.split(";")) - {""}
    headers = "".join(
        f"{name}:{value.strip()}\n"
        for name, value in sorted(asked.headers.items())
        if name.startswith("x-oss-") or name in always | more
    )
    path = quote(f"/{asked.bucket}/{asked.key}", safe="/~")
    return "\n".join((asked.method, path, query, headers, ";".join(sorted(more)), payload))


def _quoted(text: str) -> str:
    return quote(text, safe="~")


def _http_date(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError as error:
        raise Denied(403, "AccessDenied", "The request has no valid date.") from error


def _compact_date(text: str) -> float:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise Denied(403, "AccessDenied", "The request has no valid date.") from error


def _hold(condition: Any, form: Mapping[str, str], size: int) -> None:
    if isinstance(condition, dict):
        pairs: list[tuple[str, str]] = [(str(name), str(value)) for name, value in condition.items()]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        held = len(pairs) == 1 and form.get(pairs[0][0].lower()) == pairs[0][1]
    else:
        held = _compared(condition, form, size)
    if not held:
        raise Denied(403, "AccessDenied", "Invalid according to Policy: Policy Condition failed.")


def _compared(condition: list[Any], form: Mapping[str, str], size: int) -> bool:
    verb, first, second = condition
    if verb == "content-length-range":
        if size > second:
            raise Denied(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
        if size < first:
            raise Denied(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size.")
        return True
    value = form.get(str(first).removeprefix("$").lower(), "")
    if verb == "in":
        return value in second
    return value.startswith(second) if verb == "starts-with" else verb == "eq" and value == second
