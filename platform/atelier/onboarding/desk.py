"""The front desk: what the web tier asks of accounts, hashing between transactions and never within one."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from atelier.accounts import (
    email_tokens,
    passwords,
    profiles,
    queries,
    recovery,
    rules,
    sessions,
    throttle,
    verification,
)
from atelier.accounts.errors import InvalidCredentials, TokenInvalid, WrongPassword
from atelier.accounts.passwords import PasswordHasher, Verdict
from atelier.accounts.sessions import AccessToken, Credentials, Origin
from atelier.accounts.signup import NewUser
from atelier.contracts import idempotency
from atelier.contracts.idempotency import IdempotencyKeyReused, Promised, Stored
from atelier.kernel import clock, logs
from atelier.kernel.database import AsyncDatabase
from atelier.kernel.errors import Transient
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.onboarding import avatars, registration, signing_in
from atelier.onboarding.signing_in import Account, Attempt

log = logs.get("onboarding")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A login that succeeded."""

    account: Account
    access: AccessToken


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationForm:
    """What someone typed. Without `display_name` they are shown by their username."""

    email: str
    username: str
    password: str = field(repr=False)
    display_name: str | None = None
    locale: str = "zh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """Who is a user now. `earlier` is the answer that this registration has got before, when it was sent again."""

    user_id: str
    earlier: Stored | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One per web process."""

    db: AsyncDatabase
    passwords: PasswordHasher
    settings: Settings

    async def register(
        self, form: RegistrationForm, *, origin: Origin, promised: Promised | None = None, now_ms: int
    ) -> Registered:
        """Create a user. Raises Invalid, UserExists, HasherBusy; for a used key IdempotencyKeyReused or RateLimited."""
        address = rules.email(form.email)
        username = rules.username(form.username)
        name = rules.display_name(form.display_name) if form.display_name else username
        passwords.check_new(form.password)
        if promised and (earlier := await self.db.read(idempotency.look, promised.keyed)):
            return await self._again(form, address.key, promised, earlier, origin=origin, now_ms=now_ms)
        new = NewUser(
            id=new_id(),
            address=address,
            username=username,
            password_hash=await self.passwords.hash(form.password),
            display_name=name,
            locale=form.locale,
        )
        earlier = await self.db.transact(
            registration.register,
            new=new,
            settings=self.settings,
            fresh=registration.Ids(),
            origin=origin,
            promised=promised,
            now_ms=now_ms,
        )
        if promised and earlier:
            return await self._again(form, address.key, promised, earlier, origin=origin, now_ms=now_ms)
        log.info("account.registered", user_id=new.id)
        return Registered(user_id=new.id)

    async def verify_email(self, token: str, *, now_ms: int) -> str:
        """Prove an address; answers the user's id. Raises TokenInvalid."""
        return await self.db.transact(
            registration.verify_email, token=token, settings=self.settings, fresh=registration.Ids(), now_ms=now_ms
        )

    async def resend(self, email: str, *, origin: Origin, now_ms: int) -> None:
        """Mail another verification token, if there is someone who waits for one. Raises Invalid, RateLimited."""
        address = rules.email(email)
        await self._begin("resend", origin, kind="email", key=address.key, now_ms=now_ms, undecided=False)
        await self.db.transact(verification.resend, email_key=address.key, fresh=self._fresh(), now_ms=now_ms)

    async def forgot(self, email: str, *, origin: Origin, now_ms: int) -> None:
        """Mail a link to choose a new password, if the address is someone's. Raises Invalid, RateLimited."""
        address = rules.email(email)
        await self._begin("forgot", origin, kind="email", key=address.key, now_ms=now_ms, undecided=False)
        await self.db.transact(recovery.forgot, email_key=address.key, fresh=self._fresh(), now_ms=now_ms)

    async def reset_password(self, token: str, password: str, *, now_ms: int) -> str:
        """Choose a new password with a mailed token; answers whose. Raises Invalid, TokenInvalid, HasherBusy."""
        passwords.check_new(password)
        if not await self.db.read(email_tokens.is_open, purpose="reset", token=token, now_ms=now_ms):
            raise TokenInvalid
        new_hash = await self.passwords.hash(password)
        return await self.db.transact(
            recovery.reset, token=token, new_hash=new_hash, ended=recovery.Ended.fresh(), now_ms=now_ms
        )

    async def change_password(
        self, user_id: str, *, old: str, new: str, expires_ms: int, origin: Origin, now_ms: int
    ) -> AccessToken:
        """Change the password, end every token, and answer a fresh one that ends when the caller's would have.

        Raises Invalid, WrongPassword, RateLimited, HasherBusy.
        """
        passwords.check_new(new, field="newPassword")
        attempt, seen = await self._begin("change", origin, kind="id", key=user_id, now_ms=now_ms)
        if seen is None or not (await self._verify(attempt, seen, old)).matches:
            await self._fail(attempt)
            raise WrongPassword
        new_hash = await self._undecided(attempt, self.passwords.hash(new))
        ended = recovery.Ended.fresh()
        version = await self.db.transact(
            signing_in.finish_change, attempt=attempt, seen=seen, new_hash=new_hash, ended=ended, now_ms=now_ms
        )
        return self._token(user_id, version=version, now_ms=now_ms, expires_ms=expires_ms)

    async def login(self, login_id: str, password: str, *, remember: bool, origin: Origin, now_ms: int) -> SignedIn:
        """Sign in by e-mail address or username. Raises InvalidCredentials, RateLimited, HasherBusy."""
        kind, key = rules.login_key(login_id)
        attempt, seen = await self._begin("login", origin, kind=kind, key=key, now_ms=now_ms)
        verdict = await self._verify(attempt, seen, password)
        if seen is None or not seen.active or not verdict.matches:
            await self._fail(attempt)
            log.info("account.login_failed", user_id=seen.user_id if seen else None)
            raise InvalidCredentials
        new_hash = await self._undecided(attempt, self.passwords.hash(password)) if verdict.outdated else None
        account = await self.db.transact(
            signing_in.finish, attempt=attempt, seen=seen, new_hash=new_hash, origin=origin, now_ms=now_ms
        )
        settings = self.settings
        life_ms = settings.remember_days * clock.DAY_MS if remember else settings.access_hours * clock.HOUR_MS
        version = account.profile.token_version
        access = self._token(seen.user_id, version=version, now_ms=now_ms, expires_ms=now_ms + life_ms)
        return SignedIn(account=account, access=access)

    async def logout(self, *, token_id: str, expires_ms: int) -> None:
        """End one token, for good and everywhere."""
        await self.db.transact(sessions.revoke_token, token_id=token_id, expires_ms=expires_ms, revocation_id=new_id())

    async def logout_everywhere(self, user_id: str, *, now_ms: int) -> None:
        """End every token of the user."""
        await self.db.transact(sessions.revoke_all, user_id=user_id, revocation_id=new_id(), now_ms=now_ms)

    async def account(self, user_id: str) -> Account:
        """The user as they see themselves. Raises UserNotFound."""
        return await self.db.read(signing_in.account, user_id=user_id)

    async def change_profile(
        self, user_id: str, fields: profiles.ProfileChanges, *, seen: frozenset[str] | None = None, now_ms: int
    ) -> queries.Profile:
        """Clean and store the given fields, answer the whole profile. `seen` as in `profiles.change`, files as in
        `avatars.change_profile`.

        Raises Invalid and Outdated.
        """
        changes = profiles.cleaned(fields)
        return await self.db.transact(
            avatars.change_profile, user_id=user_id, changes=changes, seen=seen, now_ms=now_ms
        )

    async def _again(
        self,
        form: RegistrationForm,
        email_key: str,
        promised: Promised,
        earlier: Stored,
        *,
        origin: Origin,
        now_ms: int,
    ) -> Registered:
        """The earlier answer, for whoever knows the password that was chosen then.

        No trace of a password is kept with the key. It is compared as a login compares it, as slowly and counted in the
        same place, and before anything else: who has guessed a key learns nothing here, and not faster than there.
        """
        attempt, seen = await self._begin("login", origin, kind="email", key=email_key, now_ms=now_ms)
        verdict = await self._verify(attempt, seen, form.password)
        if seen is None or not verdict.matches:
            await self._fail(attempt)
            raise IdempotencyKeyReused
        await self.db.transact(throttle.take_back, attempt_id=attempt.id)
        return Registered(user_id=seen.user_id, earlier=earlier.replay(promised.keyed))

    async def _begin(
        self, purpose: str, origin: Origin, *, kind: str, key: str, now_ms: int, undecided: bool = True
    ) -> tuple[Attempt, Credentials | None]:
        attempt = Attempt(id=new_id(), purpose=purpose, address=origin.address, kind=kind, key=key)
        failures_max = self.settings.login_failures_max
        return attempt, await self.db.transact(
            signing_in.begin, attempt=attempt, failures_max=failures_max, now_ms=now_ms, undecided=undecided
        )

    async def _fail(self, attempt: Attempt) -> None:
        await self.db.transact(signing_in.fail, attempt=attempt)

    async def _verify(self, attempt: Attempt, seen: Credentials | None, password: str) -> Verdict:
        return await self._undecided(attempt, self.passwords.verify(seen.password_hash if seen else None, password))

    async def _undecided(self, attempt: Attempt, work: Awaitable[R]) -> R:
        try:
            return await work
        except Transient:
            # Nobody has looked at the password, or has found it right: this was no failure of theirs.
            await self.db.transact(throttle.take_back, attempt_id=attempt.id)
            raise

    def _fresh(self) -> email_tokens.Fresh:
        return email_tokens.Fresh(token_id=new_id(), email_id=new_id(), key=self.settings.keyring.current)

    def _token(self, user_id: str, *, version: int, now_ms: int, expires_ms: int) -> AccessToken:
        keyring = self.settings.keyring
        return sessions.issue(
            keyring, user_id=user_id, token_id=new_id(), version=version, now_ms=now_ms, expires_ms=expires_ms
        )
