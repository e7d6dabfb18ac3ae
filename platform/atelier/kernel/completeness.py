"""Settings that are only good together: what a configuration lacks, and what of it production refuses.

`given` has the text of every setting. Answers are as in `settings.Weaknesses`: for each field why, with {name} in place
of the variable that sets it.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

OSS = ("oss_endpoint", "oss_bucket", "oss_key_id", "oss_key_secret")
ALIPAY = ("alipay_app_id", "alipay_seller_id", "alipay_private_key", "alipay_public_key")
WECHAT = ("wechat_mchid", "wechat_appid", "wechat_serial", "wechat_private_key", "wechat_api_key")
WECHAT_PUBLIC = ("wechat_public_key_id", "wechat_public_key")
WECHAT_PLATFORM = (*WECHAT_PUBLIC, "wechat_certificates")
API_KEY_BYTES = 32


def has_alipay(given: Mapping[str, str]) -> bool:
    """Whether somebody began to configure Alipay."""
    return any(given[field] for field in ALIPAY)


def has_wechat(given: Mapping[str, str]) -> bool:
    """Whether somebody began to configure WeChat Pay."""
    return any(given[field] for field in (*WECHAT, *WECHAT_PLATFORM))


def missing(given: Mapping[str, str]) -> dict[str, str]:
    """What is needed and not there, in development too."""
    found = _lacking(given, OSS, "files in OSS") if given["storage"] == "oss" else {}
    if has_alipay(given):
        found |= _lacking(given, ALIPAY, "Alipay")
    return found | _missing_of_wechat(given) if has_wechat(given) else found


def _missing_of_wechat(given: Mapping[str, str]) -> dict[str, str]:
    found = _lacking(given, WECHAT, "WeChat Pay")
    if any(given[field] for field in WECHAT_PUBLIC):
        found |= _lacking(given, WECHAT_PUBLIC, "WeChat Pay's public key")
    elif not given["wechat_certificates"]:
        reason = "{name} or a platform certificate is needed for WeChat Pay"
        found |= dict.fromkeys(WECHAT_PUBLIC, reason)
    if given["wechat_api_key"] and len(given["wechat_api_key"].encode()) != API_KEY_BYTES:
        found["wechat_api_key"] = f"{{name}} must have exactly {API_KEY_BYTES} bytes"
    return found


def unsafe_mail(given: Mapping[str, str]) -> dict[str, str]:
    """The address without which e-mails that production sends could not be ended by one click (RFC 8058)."""
    if not given["mail_url"] or _is_https(given["public_url"]):
        return {}
    return {"public_url": "{name} must be https://…: e-mails say there how to get no more of them"}


def unsafe_payments(given: Mapping[str, str]) -> dict[str, str]:
    """Addresses of payments that production refuses."""
    used = {"alipay_url": has_alipay(given), "wechat_url": has_wechat(given)}
    used["public_url"] = any(used.values())
    reasons = dict.fromkeys(used, "{name} must be https://… and no sandbox on this machine: payments are made there")
    reasons["public_url"] = "{name} must be https://…: payment gateways send their notices there"
    return {field: reasons[field] for field, is_used in used.items() if is_used and not _is_https(given[field])}


def _lacking(given: Mapping[str, str], fields: Iterable[str], purpose: str) -> dict[str, str]:
    return {field: f"{{name}} is needed for {purpose}" for field in fields if not given[field]}


def _is_https(address: str) -> bool:
    """Whether it is encrypted, and leads to another machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme == "https" and host != "" and not _is_here(host)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
