"""Registering, signing in and out, passwords, the own profile."""

from functools import partial

from aiohttp import hdrs
from pydantic import Field

from atelier.accounts import rules
from atelier.accounts.sessions import Origin
from atelier.contracts.idempotency import Promised
from atelier.kernel.errors import Unauthorized
from atelier.onboarding.desk import RegistrationForm
from web import profiles
from web.messages import Sentence
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.auth import (
    AccessTokenBody,
    AddressBody,
    ChangedProfileAnswer,
    ChangePasswordBody,
    DoneAnswer,
    EmailLoginAnswer,
    EmailLoginBody,
    InvalidTokenAnswer,
    LoginAnswer,
    LoginBody,
    MessageAnswer,
    ProfileAnswer,
    ProfileBody,
    RegisterBody,
    ResetPasswordBody,
    TokenAnswer,
    UserAnswer,
    ValidTokenAnswer,
    VerifyEmailBody,
)
from web.schemas.model import Query, QueryFlag

REGISTERED = Sentence("注册成功，请查收验证邮件", "Registered. Look for the verification e-mail.")
VERIFIED = Sentence("邮箱验证成功", "Your e-mail address is verified.")
RESENT = Sentence(
    "如果该邮箱正在等待验证，验证邮件已发送", "If this address waits to be verified, an e-mail is on its way."
)
REMINDED = Sentence("如果该邮箱已注册，重置密码的邮件已发送", "If this address is registered, an e-mail is on its way.")
RESET = Sentence("密码已重置，请重新登录", "Your password is changed. Sign in again.")


class LogoutQuery(Query):
    """How far signing out goes."""

    all: QueryFlag = Field(False, description="true ends every token of the user")


async def register(call: Call) -> Reply:
    """Create a user and mail a link that proves the address."""
    body: RegisterBody = call.body
    form = RegistrationForm(
        email=body.email,
        username=body.username,
        password=body.password,
        display_name=body.display_name,
        locale=call.locale,
    )
    answer = MessageAnswer(message=REGISTERED.text(call.locale))
    promised = Promised(keyed=call.keyed, status=200, answer=answer.model_dump()) if call.keyed else None
    registered = await call.services.desk.register(form, origin=_origin(call), promised=promised, now_ms=call.now_ms)
    if registered.earlier is None:
        return Reply(answer)
    return Reply(MessageAnswer.model_validate(registered.earlier.answer), headers=REPLAYED)


async def verify_email(call: Call) -> MessageAnswer:
    """Use the mailed token up. The first proof of an address earns the welcome bonus."""
    body: VerifyEmailBody = call.body
    user_id = await call.services.desk.verify_email(body.token, now_ms=call.now_ms)
    call.services.identities.forget(user_id=user_id)
    return MessageAnswer(message=VERIFIED.text(call.locale))


async def resend(call: Call) -> MessageAnswer:
    """Mail the link again. The answer is the same whether or not anyone waits for it."""
    body: AddressBody = call.body
    await call.services.desk.resend(body.email, origin=_origin(call), now_ms=call.now_ms)
    return MessageAnswer(message=RESENT.text(call.locale))


async def login(call: Call) -> LoginAnswer:
    """Sign in by e-mail address or username. Every failure has the same answer."""
    body: LoginBody = call.body
    signed_in = await call.services.desk.login(
        body.login_id, body.password, remember=body.remember_me, origin=_origin(call), now_ms=call.now_ms
    )
    access = signed_in.access
    user = UserAnswer.model_validate(profiles.user(signed_in.account))
    return LoginAnswer(user=user, token=access.token, expires_at=access.expires_ms)


async def login_by_email(call: Call) -> EmailLoginAnswer:
    """Sign in, in the shape of the credits service."""
    body: EmailLoginBody = call.body
    signed_in = await call.services.desk.login(
        body.email, body.password, remember=False, origin=_origin(call), now_ms=call.now_ms
    )
    profile = signed_in.account.profile
    return EmailLoginAnswer(
        user_id=profile.email, email=profile.email, name=profile.display_name, token=signed_in.access.token
    )


async def verify_token(call: Call) -> ValidTokenAnswer | InvalidTokenAnswer:
    """Whether an access token is good now."""
    body: AccessTokenBody = call.body
    try:
        identity = await call.services.identities.of_token(body.token)
    except Unauthorized:
        return InvalidTokenAnswer()
    return ValidTokenAnswer(user_id=identity.email, email=identity.email)


async def logout(call: Call) -> DoneAnswer:
    """End this token, or with `all=true` every token of the user, at once."""
    query: LogoutQuery | None = call.query
    user, services = call.user, call.services
    if query and query.all:
        await services.desk.logout_everywhere(user.user_id, now_ms=call.now_ms)
        services.identities.forget(user_id=user.user_id)
    else:
        await services.desk.logout(token_id=user.token_id, expires_ms=user.expires_ms)
        services.identities.forget(token_id=user.token_id)
    return DoneAnswer()


async def forgot_password(call: Call) -> MessageAnswer:
    """Mail a link to choose a new password. The answer is the same for unknown addresses."""
    body: AddressBody = call.body
    await call.services.desk.forgot(body.email, origin=_origin(call), now_ms=call.now_ms)
    return MessageAnswer(message=REMINDED.text(call.locale))


async def reset_password(call: Call) -> MessageAnswer:
    """Choose a new password with the mailed token; ends every access token."""
    body: ResetPasswordBody = call.body
    user_id = await call.services.desk.reset_password(body.token, body.password, now_ms=call.now_ms)
    call.services.identities.forget(user_id=user_id)
    return MessageAnswer(message=RESET.text(call.locale))


async def change_password(call: Call) -> TokenAnswer:
    """Choose a new password; ends every access token and answers a fresh one."""
    body: ChangePasswordBody = call.body
    user = call.user
    access = await call.services.desk.change_password(
        user.user_id,
        old=body.current_password,
        new=body.new_password,
        expires_ms=user.expires_ms,
        origin=_origin(call),
        now_ms=call.now_ms,
    )
    call.services.identities.forget(user_id=user.user_id)
    return TokenAnswer(token=access.token, expires_at=access.expires_ms)


async def read_profile(call: Call) -> Reply:
    """The caller's own profile. Its ETag stands for what PUT can change."""
    return await profiles.read(call)


async def change_profile(call: Call) -> Reply:
    """Change the named fields, with `If-Match` only while nobody changed them. Control characters are dropped."""
    return await profiles.change(call)


def _address(body: RegisterBody) -> str:
    """Whose key it is: with anybody else's address the same key is another one. Raises Invalid."""
    return rules.email(body.email).key


def _origin(call: Call) -> Origin:
    return Origin.of(address=call.address, user_agent=call.request.headers.get(hdrs.USER_AGENT))


_auth = partial(Endpoint, tag="auth", cache="no-store")
_post = partial(_auth, method="POST", auth="public")

ENDPOINTS = (
    _post(
        path="/api/auth/register",
        handler=register,
        summary=("注册", "Register"),
        body=RegisterBody,
        answer=MessageAnswer,
        errors=("USER_EXISTS",),
        rate="register",
        idempotent=True,
        key_owner=_address,
    ),
    _post(
        path="/api/auth/verify-email",
        handler=verify_email,
        summary=("验证邮箱", "Verify the e-mail address"),
        body=VerifyEmailBody,
        answer=MessageAnswer,
        errors=("TOKEN_INVALID",),
    ),
    _post(
        path="/api/auth/verify-email/resend",
        handler=resend,
        summary=("重新发送验证邮件", "Send the verification e-mail again"),
        body=AddressBody,
        answer=MessageAnswer,
        status=202,
    ),
    _post(
        path="/api/auth/login",
        handler=login,
        summary=("登录", "Sign in"),
        body=LoginBody,
        answer=LoginAnswer,
        errors=("INVALID_CREDENTIALS",),
    ),
    _auth(
        method="POST",
        path="/api/auth/logout",
        handler=logout,
        summary=("退出登录", "Sign out"),
        query=LogoutQuery,
        answer=DoneAnswer,
    ),
    _post(
        path="/api/auth/forgot-password",
        handler=forgot_password,
        summary=("忘记密码", "Forgot the password"),
        body=AddressBody,
        answer=MessageAnswer,
        status=202,
    ),
    _post(
        path="/api/auth/reset-password",
        handler=reset_password,
        summary=("重置密码", "Choose a new password by e-mail"),
        body=ResetPasswordBody,
        answer=MessageAnswer,
        errors=("TOKEN_INVALID",),
    ),
    _auth(
        method="POST",
        path="/api/auth/change-password",
        handler=change_password,
        summary=("修改密码", "Change the password"),
        body=ChangePasswordBody,
        answer=TokenAnswer,
        errors=("WRONG_PASSWORD",),
    ),
    _auth(
        method="GET",
        path="/api/auth/profile",
        handler=read_profile,
        summary=("个人资料", "Own profile"),
        answer=ProfileAnswer,
        gives=("ETag",),
    ),
    _auth(
        method="PUT",
        path="/api/auth/profile",
        handler=change_profile,
        summary=("修改个人资料", "Change the own profile"),
        body=ProfileBody,
        answer=ChangedProfileAnswer,
        errors=("PRECONDITION_FAILED",),
    ),
    _post(
        path="/auth/login",
        handler=login_by_email,
        summary=("登录（积分服务）", "Sign in (credits service)"),
        tag="service",
        body=EmailLoginBody,
        answer=EmailLoginAnswer,
        errors=("INVALID_CREDENTIALS",),
    ),
    _post(
        path="/auth/verify",
        handler=verify_token,
        summary=("验证令牌", "Look at a token"),
        tag="service",
        body=AccessTokenBody,
        answer=ValidTokenAnswer | InvalidTokenAnswer,
    ),
)
