"""The gateways that the settings name."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import SecretStr

from atelier.gateways import alipay, keys, wechat
from atelier.gateways.keys import BadKey
from atelier.gateways.port import Gateway
from atelier.gateways.wechat_wire import Merchant
from atelier.kernel import variables
from atelier.kernel.settings import BadSettings, Settings

T = TypeVar("T")
# Where each gateway sends its notices, below the address of this API.
NOTICES = "/api/payments/webhooks/"


def gateways_of(settings: Settings) -> Mapping[str, Gateway]:
    """The gateways that are configured, by their names. Make them once per process, after any fork.

    Raises BadSettings, which names the variable of a key that is none.
    """
    found: dict[str, Gateway] = {}
    if settings.alipay_app_id:
        found["alipay"] = alipay.Alipay(_alipay(settings))
    if settings.wechat_mchid:
        found["wechat"] = wechat.WechatPay(_wechat(settings))
    return found


def _alipay(settings: Settings) -> alipay.Account:
    return alipay.Account(
        app_id=settings.alipay_app_id,
        seller_id=settings.alipay_seller_id,
        private_key=_key(settings, "alipay_private_key", keys.private_key),
        public_key=_key(settings, "alipay_public_key", keys.public_key),
        url=settings.alipay_url,
        notify_url=_notices(settings, "alipay"),
        answer_seconds=settings.payment_answer_seconds,
    )


def _wechat(settings: Settings) -> wechat.Account:
    private_key = _key(settings, "wechat_private_key", keys.private_key)
    has_public_key = settings.wechat_public_key.get_secret_value() != ""
    has_certificates = settings.wechat_certificates.get_secret_value() != ""
    return wechat.Account(
        merchant=Merchant(mchid=settings.wechat_mchid, serial=settings.wechat_serial, key=private_key),
        appid=settings.wechat_appid,
        api_key=settings.wechat_api_key.get_secret_value().encode(),
        public_key_id=settings.wechat_public_key_id,
        public_key=_key(settings, "wechat_public_key", keys.public_key) if has_public_key else None,
        certificates=_key(settings, "wechat_certificates", keys.certificates) if has_certificates else (),
        url=settings.wechat_url,
        notify_url=_notices(settings, "wechat"),
        answer_seconds=settings.payment_answer_seconds,
    )


def _key(settings: Settings, field: str, read: Callable[[str], T]) -> T:
    secret: SecretStr = getattr(settings, field)
    try:
        return read(secret.get_secret_value())
    except BadKey as error:
        name = variables.set_by(field, Settings.model_fields[field], files={})
        message = f"{name}: {error}"
        raise BadSettings(message) from None


def _notices(settings: Settings, provider: str) -> str:
    address = (settings.public_url or f"http://{settings.host}:{settings.port}").rstrip("/")
    return f"{address}{NOTICES}{provider}"
