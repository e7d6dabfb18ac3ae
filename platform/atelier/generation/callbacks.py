"""Where providers may tell that there is news of a job, and how such an address is known for ours.

The address holds the job's id and a token that only we can make. What is sent there is never believed: it is a reason
to look at the job now instead of later.
"""

from dataclasses import dataclass

from atelier.kernel import tokens
from atelier.kernel.keyring import Keyring

PURPOSE = "provider-callback"
ID_CHARS = 36


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The addresses of one installation, which providers reach under `public_url`."""

    public_url: str
    keyring: Keyring

    def url(self, provider: str, job_id: str) -> str:
        """Where this provider may tell that there is news of this job."""
        token = tokens.derived(self.keyring.current, PURPOSE, f"{provider}:{job_id}")
        return f"{self.public_url.rstrip('/')}/api/providers/{provider}/callback/{job_id}.{token}"


def job_of(keyring: Keyring, *, provider: str, key: str) -> str | None:
    """The job whose address this is, None for what is no address of ours."""
    job_id, _, token = key.partition(".")
    is_ours = len(job_id) == ID_CHARS and tokens.matches(keyring, PURPOSE, f"{provider}:{job_id}", token)
    return job_id if is_ours else None
