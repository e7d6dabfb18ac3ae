"""A front end as the seeds' ones are: it knows paths, field names and sentences, and nothing of what is behind them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from atelier.mail import mailbox
from tests.servers import until
from tests.stack import Stack

Json = dict[str, Any]
PASSWORD = "correct horse battery"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")

USER = {"id", "email", "username", "displayName", "avatarUrl", "role", "credits"}
PROFILE = USER | {"bio", "totalSpent", "createdAt", "settings"}
AGENT = {
    *("id", "slug", "name", "description", "detailedDescription", "category", "creator", "priceType", "basePrice"),
    *("creditsPerUse", "capabilities", "supportedLanguages", "inputTypes", "outputTypes", "inputSchema"),
    *("configSchema", "tags", "status", "ratingAvg", "reviewsCount", "downloadsCount", "viewCount", "createdAt"),
    "updatedAt",
}
PAGINATION = {"page", "limit", "total", "pages"}
SUBMITTED = {
    *("success", "jobId", "usageId", "status", "queuePosition", "estimate", "credits", "links"),
}
JOB = {
    *("id", "status", "seq", "kind", "agentId", "projectId", "progress", "step", "queuePosition", "blockedBy"),
    *("batchId", "parentId", "blockedMessage"),
    *("estimate", "credits", "attempts", "errorCode", "errorMessage", "createdAt", "startedAt", "finishedAt"),
    *("processingTime", "links"),
}
TRANSACTION = {"id", "type", "amount", "balanceAfter", "description", "relatedId", "relatedType", "createdAt"}
EVENT = {"type", "jobId", "seq", "at", "data"}
# What front ends have asked for, and were answered as they hoped: method and path.
SERVED: list[tuple[str, str]] = []


@dataclass
class FrontEnd:
    """One visitor. Every answer has the status that the front end was written for, or the test fails."""

    stack: Stack
    name: str
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def email(self) -> str:
        """Their address."""
        return f"{self.name}@example.com"

    def call(self, method: str, path: str, body: Json | None = None, *, status: int = 200, **headers: str) -> Any:
        """Ask and read the JSON."""
        return self.answer(method, path, body, status=status, **headers).json()

    def answer(
        self, method: str, path: str, body: Json | None = None, *, status: int = 200, **headers: str
    ) -> httpx.Response:
        """Ask; keywords are headers with `_` for `-`."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self._checked(self.stack.client.request(method, path, json=body, headers=sent), path, status=status)

    def upload(self, path: str, file: tuple[str, bytes, str], *, status: int = 201) -> Any:
        """Send a form with one file, by name, content and type, and read the JSON."""
        answer = self.stack.client.post(path, files={"file": file}, headers=self.headers)
        return self._checked(answer, path, status=status).json()

    def _checked(self, answer: httpx.Response, path: str, *, status: int) -> httpx.Response:
        method = answer.request.method
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        if answer.is_success:
            SERVED.append((method, path))
        return answer

    def refused(self, method: str, path: str, body: Json | None, expected: tuple[int, str, str]) -> Json:
        """Ask for what is refused with this status, this code and this sentence."""
        status, code, sentence = expected
        problem: Json = self.call(method, path, body, status=status)
        found = (problem["status"], problem["code"], problem["error"], problem["message"])
        assert found == (status, code, sentence, sentence)
        return problem

    def register(self) -> "FrontEnd":
        """Become a user."""
        body = {"email": self.email, "username": self.name, "password": PASSWORD, "displayName": "梅"}
        assert self.call("POST", "/api/auth/register", body) == {
            "success": True,
            "message": "注册成功，请查收验证邮件",
        }
        return self

    def verify(self) -> "FrontEnd":
        """Open the e-mail and follow its link."""
        self.call("POST", "/api/auth/verify-email", {"token": self.mailed_token("请验证您的邮箱")})
        return self

    def mailed_token(self, subject: str) -> str:
        """What the link of the newest e-mail with this subject carries, once it has arrived."""
        place = mailbox.folder(self.stack.settings())
        letters = until(
            lambda: [one for one in mailbox.listing(place, recipient=self.email) if one.subject == subject],
            what=f"an e-mail arrives: {subject}",
        )
        found = re.search(r"\?token=(\S+)", letters[0].text)
        assert found, letters[0].text
        return found[1]

    def login(self, **more: Any) -> Json:
        """Sign in, and stay so."""
        answer: Json = self.call("POST", "/api/auth/login", {"loginId": self.name, "password": PASSWORD, **more})
        self.headers = {"Authorization": f"Bearer {answer['token']}"}
        return answer

    def generate(self, slug: str, prompt: str, **config: Any) -> Json:
        """Submit a job."""
        body = {"agentId": self.stack.agent(slug), "inputData": {"prompt": prompt}, "config": config}
        answer: Json = self.call("POST", "/api/workshop/generate", body, status=202)
        assert answer.keys() == SUBMITTED
        assert answer["usageId"] == answer["jobId"]
        return answer

    def until_running(self, job_id: str) -> None:
        """Poll until a worker has it."""
        while self.call("GET", f"/api/jobs/{job_id}?wait=10&seq=1")["status"] == "pending":
            pass

    def finished(self, job_id: str) -> Json:
        """Poll as the front ends do, asking to wait for news each time."""
        job: Json = self.call("GET", f"/api/jobs/{job_id}")
        while job["status"] in {"pending", "running"}:
            job = self.call("GET", f"/api/jobs/{job_id}?wait=10&seq={job['seq']}")
        assert job.keys() == JOB
        return job

    def events(self, path: str, *, status: int = 200, **headers: str) -> Iterator[tuple[str, str, Json]]:
        """The stream's events: id, event and data."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        with self.stack.client.stream("GET", path, headers=sent) as answer:
            assert answer.status_code == status
            assert status == 204 or answer.headers["Content-Type"] == "text/event-stream"
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                elif "data" in fields:
                    yield fields["id"], fields["event"], json.loads(fields["data"])
                    fields = {}

    def balance(self) -> Json:
        """What there is."""
        answer: Json = self.call("GET", "/api/payments/credits/balance")
        assert answer.keys() == {"balance", "held", "available"}
        return answer


def assert_keys(found: Mapping[str, Any], *, expected: set[str]) -> None:
    """Exactly these fields: the front ends' own types say no more and no less."""
    assert set(found) == expected, set(found) ^ expected
