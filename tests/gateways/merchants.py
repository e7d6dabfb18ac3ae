"""A merchant at both gateways, and the gateways' own keys, for every test of this folder."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from atelier.gateways import alipay, alipay_wire, wechat, wechat_wire
from atelier.gateways.keys import Certificate
from atelier.gateways.wechat_wire import Merchant

OURS, THEIRS, OLD, STRANGER = (rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(4))
APP_ID, SELLER_ID = "2021000000000000", "2088000000000001"
MCHID, APPID, SERIAL = "1900000001", "wx2421b1c4370ec43b", "444F4864EA9B34415F7D5A4F2A0C1D7C1A2B3C4D"
API_KEY = b"0123456789abcdef0123456789abcdef"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000000012024082800000000000001"
OLD_SERIAL, EXPIRED_SERIAL = "5157F09EFDC096DE15EBE81A47057A72", "6157F09EFDC096DE15EBE81A47057A72"
NOW_MS = 1_767_225_600_000  # 2026-01-01 08:00:00 in Beijing, midnight in UTC
NOTIFY_URL = "https://atelier.test/api/payments/webhooks/"


def private_pem(key: RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public_pem(key: RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def bare(pem: str) -> str:
    """Only the Base64, as Alipay's tools hand it out."""
    return "".join(pem.splitlines()[1:-1])


def certificate_pem(key: RSAPrivateKey, serial: str) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Tenpay.com Root CA")])
    start = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(int(serial, 16)).not_valid_before(start).not_valid_after(start + timedelta(days=1_825))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def alipay_client(url: str = "https://openapi.alipay.test/gateway.do", *, answer_seconds: float = 5.0) -> alipay.Alipay:
    account = alipay.Account(
        app_id=APP_ID,
        seller_id=SELLER_ID,
        private_key=OURS,
        public_key=THEIRS.public_key(),
        url=url,
        notify_url=f"{NOTIFY_URL}alipay",
        answer_seconds=answer_seconds,
    )
    return alipay.Alipay(account, now_ms=lambda: NOW_MS)


def wechat_client(url: str = "https://api.mch.weixin.test", *, answer_seconds: float = 5.0) -> wechat.WechatPay:
    account = wechat.Account(
        merchant=Merchant(mchid=MCHID, serial=SERIAL, key=OURS),
        appid=APPID,
        api_key=API_KEY,
        public_key_id=PUBLIC_KEY_ID,
        public_key=THEIRS.public_key(),
        certificates=[
            Certificate(serial=OLD_SERIAL, key=OLD.public_key(), until_ms=NOW_MS + 1),
            Certificate(serial=EXPIRED_SERIAL, key=OLD.public_key(), until_ms=NOW_MS),
        ],
        url=url,
        notify_url=f"{NOTIFY_URL}wechat",
        answer_seconds=answer_seconds,
    )
    return wechat.WechatPay(account, now_ms=lambda: NOW_MS)


def alipay_notice(changes: Mapping[str, str | None] | None = None, *, key: RSAPrivateKey = THEIRS) -> bytes:
    """The body of a notice; None in the changes leaves a field out."""
    fields: dict[str, str | None] = {
        "notify_time": "2026-01-01 08:00:05",
        "notify_type": "trade_status_sync",
        "notify_id": "2026010100222080005012345678901234",
        "app_id": APP_ID,
        "charset": "utf-8",
        "version": "1.0",
        "trade_no": "2026010122001400000000000001",
        "out_trade_no": "A20260101000000000001",
        "buyer_id": "2088000000009999",
        "seller_id": SELLER_ID,
        "trade_status": "TRADE_SUCCESS",
        "total_amount": "9.90",
        "receipt_amount": "9.90",
        "subject": "100 积分 & more=1",
        "body": "",
        "gmt_create": "2026-01-01 07:59:50",
        "gmt_payment": "2026-01-01 08:00:01",
        **(changes or {}),
    }
    kept = {name: value for name, value in fields.items() if value is not None}
    return urlencode(alipay_wire.noticed(kept, key)).encode()


def wechat_notice(
    content: Mapping[str, Any],
    *,
    event_type: str = "TRANSACTION.SUCCESS",
    envelope: Mapping[str, Any] | None = None,
    api_key: bytes = API_KEY,
) -> bytes:
    """The body of a notice."""
    sealed = wechat_wire.sealed(content, api_key=api_key, nonce="0123456789ab", associated="transaction")
    made = {
        "id": "EV-2018022511223320873",
        "create_time": "2026-01-01T08:00:05+08:00",
        "resource_type": "encrypt-resource",
        "event_type": event_type,
        "summary": "支付成功",
        "resource": {"original_type": "transaction", **sealed},
        **(envelope or {}),
    }
    return json.dumps(made, ensure_ascii=False).encode()


def wechat_headers(
    body: bytes, *, key: RSAPrivateKey = THEIRS, serial: str = PUBLIC_KEY_ID, late: int = 0
) -> dict[str, str]:
    nonce = base64.b64encode(body[:9]).decode()
    return wechat_wire.signed(body, key=key, serial=serial, timestamp=NOW_MS // 1000 - late, nonce=nonce)


PAID: dict[str, Any] = {
    "mchid": MCHID,
    "appid": APPID,
    "out_trade_no": "W20260101000000000001",
    "transaction_id": "4200000000202601010000000001",
    "trade_type": "NATIVE",
    "trade_state": "SUCCESS",
    "bank_type": "CMC",
    "success_time": "2026-01-01T08:00:01+08:00",
    "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
    "amount": {"total": 990, "payer_total": 990, "currency": "CNY", "payer_currency": "CNY"},
}
REFUNDED: dict[str, Any] = {
    "mchid": MCHID,
    "out_trade_no": "W20260101000000000001",
    "transaction_id": "4200000000202601010000000001",
    "out_refund_no": "R20260101000000000001",
    "refund_id": "50000000382019052709732678859",
    "refund_status": "SUCCESS",
    "success_time": "2026-01-01T09:00:00+08:00",
    "user_received_account": "招商银行信用卡0403",
    "amount": {"total": 990, "refund": 490, "payer_total": 990, "payer_refund": 490},
}
