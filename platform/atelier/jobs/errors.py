"""What jobs refuse."""

from typing import ClassVar

from atelier.kernel.errors import Conflict, NotFound, Refusal


class JobNotFound(NotFound):
    """No such job, or someone else's."""


class JobFinished(Conflict):
    """The job has ended already."""

    code: ClassVar[str] = "JOB_FINISHED"


class JobNotFailed(Conflict):
    """Only a failed or canceled job can be tried again."""

    code: ClassVar[str] = "JOB_NOT_FAILED"


class ResultExpired(Refusal):
    """What the job has made was kept for as long as was promised, and is gone."""

    code: ClassVar[str] = "RESULT_EXPIRED"


class BatchNotFound(NotFound):
    """No such batch, or someone else's."""


class JobIsStep(Conflict):
    """The job is a step of another, and ends with it."""

    code: ClassVar[str] = "JOB_IS_STEP"


class LeaseLost(Refusal):
    """Someone else holds the job now; what this worker made is thrown away."""

    code: ClassVar[str] = "LEASE_LOST"


class JobReplayed(Conflict):
    """The job was tried again already; `new_job_id` in the details names the job as which."""

    code: ClassVar[str] = "JOB_REPLAYED"


class JobTooOld(Conflict):
    """What failed so long ago is not replayed any more."""

    code: ClassVar[str] = "JOB_TOO_OLD"


class LetterNotOpen(Conflict):
    """Somebody has dealt with this dead letter already."""

    code: ClassVar[str] = "LETTER_NOT_OPEN"
