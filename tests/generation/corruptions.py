"""Changes that only a hand or a bug can make, and what the doctor has to say of each.

The names are those of `World` in test_doctor: jobs by what became of them, hold_<job> and end_<job> for their
transfers, other transfers by their kind.
"""

from typing import NamedTuple


class Corruption(NamedTuple):
    """A change by hand, and what the doctor must say of it, and nothing else: check → whom it names."""

    changes: str
    named: dict[str, str]


CORRUPTIONS = {
    "the balance is raised": Corruption(
        "UPDATE accounts SET credits_posted = credits_posted + 7 WHERE id = :user",
        {"account.posted": "user", "account.last": "topup"},
    ),
    "what was spent is raised, and the balance kept": Corruption(
        "UPDATE accounts SET credits_posted = credits_posted + 7, debits_posted = debits_posted + 7 WHERE id = :user",
        {"account.posted": "user"},
    ),
    "what is held is lowered": Corruption(
        "UPDATE accounts SET debits_pending = debits_pending - 5 WHERE id = :user", {"account.pending": "user"}
    ),
    "what is held moves to another user": Corruption(
        """
        UPDATE accounts SET debits_pending = debits_pending + CASE WHEN id = :user THEN -5 ELSE 5 END
        WHERE id IN (:user, :other)
        """,
        {"account.pending": "user other"},
    ),
    "more is held than there is": Corruption(
        "UPDATE accounts SET debits_pending = 1000 WHERE id = :user",
        {"account.available": "user", "account.pending": "user"},
    ),
    "the version runs ahead": Corruption(
        "UPDATE accounts SET version = version + 1 WHERE id = :user", {"account.version": "user"}
    ),
    "the version falls behind": Corruption(
        "UPDATE accounts SET version = version - 1 WHERE id = :user",
        {"account.version": "user", "account.last": "topup"},
    ),
    "an account is deleted": Corruption(
        "DELETE FROM accounts WHERE id = :user",
        {"transfer.account": "hold_done end_done topup bonus consume"},
    ),
    "a system account is deleted": Corruption(
        "DELETE FROM accounts WHERE id = 'system:bonus'", {"transfer.account": "bonus"}
    ),
    "the first transfer is deleted": Corruption(
        "DELETE FROM transfers WHERE account_id = :user AND account_version = 1",
        {"account.posted": "user", "account.version": "user", "statement.gap": "hold_done"},
    ),
    "the newest transfer is deleted": Corruption(
        "DELETE FROM transfers WHERE id = :topup", {"account.posted": "user", "account.version": "user"}
    ),
    "the hold of a waiting job is deleted": Corruption(
        "DELETE FROM transfers WHERE id = :hold_waiting",
        {"account.pending": "user", "account.version": "user", "statement.gap": "hold_picture", "job.hold": "waiting"},
    ),
    "the hold of a completed job is deleted": Corruption(
        "DELETE FROM transfers WHERE id = :hold_done",
        {
            "account.version": "user",
            "statement.gap": "hold_failed",
            "transfer.resolution": "end_done",
            "job.hold": "done",
            "job.capture": "done",
        },
    ),
    "a capture is deleted": Corruption(
        "DELETE FROM transfers WHERE id = :end_done",
        {
            "account.posted": "user",
            "account.pending": "user",
            "account.version": "user",
            "statement.gap": "end_picture",
            "job.capture": "done",
            "share.source": "share_done platform_done",
            "earning.source": "done",
            "clearing.balance": "",
        },
    ),
    "a release is deleted": Corruption(
        "DELETE FROM transfers WHERE id = :end_failed",
        {
            "account.pending": "user",
            "account.version": "user",
            "statement.gap": "end_canceled",
            "job.release": "failed",
        },
    ),
    "an amount that was paid is raised": Corruption(
        "UPDATE transfers SET amount = amount + 1 WHERE id = :topup",
        {"account.posted": "user", "statement.balance": "topup"},
    ),
    "more is captured than was held": Corruption(
        "UPDATE transfers SET amount = 6 WHERE id = :end_done",
        {
            "account.posted": "user",
            "statement.balance": "end_done",
            "transfer.resolution": "end_done",
            "job.capture": "done",
            "share.sum": "end_done",
            "share.earning": "end_done",
            "clearing.balance": "",
        },
    ),
    "less is captured than was used": Corruption(
        "UPDATE transfers SET amount = 4 WHERE id = :end_done",
        {
            "account.posted": "user",
            "statement.balance": "end_done",
            "job.capture": "done",
            "share.sum": "end_done",
            "share.earning": "end_done",
            "clearing.balance": "",
        },
    ),
    "less is released than was held": Corruption(
        "UPDATE transfers SET amount = 4 WHERE id = :end_failed",
        {"transfer.resolution": "end_failed", "job.release": "failed"},
    ),
    "a hold is raised": Corruption(
        "UPDATE transfers SET amount = 9 WHERE id = :hold_waiting", {"account.pending": "user", "job.hold": "waiting"}
    ),
    "a balance of the statement is changed": Corruption(
        "UPDATE transfers SET balance_after = balance_after + 1 WHERE id = :consume",
        {"statement.balance": "consume bonus"},
    ),
    "the newest balance of the statement is changed": Corruption(
        "UPDATE transfers SET balance_after = balance_after + 1 WHERE id = :topup",
        {"statement.balance": "topup", "account.last": "topup"},
    ),
    "a number of the statement is passed over": Corruption(
        "UPDATE transfers SET account_version = account_version + 1 WHERE id = :topup",
        {"statement.gap": "topup", "account.version": "user", "account.last": "topup"},
    ),
    "a payment is turned round": Corruption(
        "UPDATE transfers SET debit_id = account_id, credit_id = 'system:topup' WHERE id = :topup",
        {"transfer.sides": "topup", "account.posted": "user", "statement.balance": "topup"},
    ),
    "a payment comes from elsewhere": Corruption(
        "UPDATE transfers SET debit_id = 'system:bonus' WHERE id = :topup", {"transfer.sides": "topup"}
    ),
    "a payment comes from nowhere": Corruption(
        "UPDATE transfers SET debit_id = 'system:nowhere' WHERE id = :topup",
        {"transfer.sides": "topup", "transfer.account": "topup"},
    ),
    "a payment comes from another user": Corruption(
        "UPDATE transfers SET debit_id = :other WHERE id = :topup",
        {"transfer.sides": "topup", "transfer.account": "topup"},
    ),
    "a transfer is of no known kind": Corruption(
        "UPDATE transfers SET kind = 'gift' WHERE id = :consume", {"transfer.sides": "consume"}
    ),
    "a second welcome": Corruption(
        "UPDATE transfers SET kind = 'bonus', debit_id = 'system:bonus' WHERE id = :topup", {"account.bonus": "user"}
    ),
    "a capture ends the hold of another job": Corruption(
        "UPDATE transfers SET pending_id = :hold_waiting WHERE id = :end_done",
        {"transfer.resolution": "end_done", "job.capture": "done", "job.open": "waiting"},
    ),
    "a capture ends nothing": Corruption(
        "UPDATE transfers SET pending_id = :fresh WHERE id = :end_done",
        {"transfer.resolution": "end_done", "job.capture": "done", "account.pending": "user"},
    ),
    "a capture becomes a release": Corruption(
        "UPDATE transfers SET kind = 'release' WHERE id = :end_done",
        {
            "transfer.resolution": "end_done",
            "job.capture": "done",
            "account.posted": "user",
            "statement.balance": "end_done",
            "share.source": "share_done platform_done",
            "earning.source": "done",
            "clearing.balance": "",
        },
    ),
    "a completed job is made to have failed": Corruption(
        "UPDATE jobs SET state = 'failed' WHERE id = :done",
        {"job.release": "done", "job.used": "done", "job.result": "done", "letter.missing": "done"},
    ),
    "a failed job is made to have completed": Corruption(
        "UPDATE jobs SET state = 'completed' WHERE id = :failed",
        {"job.attempt": "failed", "job.result": "failed", "letter.missing": "failed"},
    ),
    "a canceled job waits again": Corruption(
        "UPDATE jobs SET state = 'pending' WHERE id = :canceled", {"job.open": "canceled", "job.shape": "canceled"}
    ),
    "a running job is made to have failed": Corruption(
        "UPDATE jobs SET state = 'failed' WHERE id = :running", {"job.release": "running", "job.shape": "running"}
    ),
    "a waiting job runs without a worker": Corruption(
        "UPDATE jobs SET state = 'running' WHERE id = :waiting", {"job.attempt": "waiting", "job.shape": "waiting"}
    ),
    "a price is lowered after the hold": Corruption(
        "UPDATE jobs SET held = 4 WHERE id = :waiting", {"job.hold": "waiting", "job.price": "waiting"}
    ),
    "a price is waived after the hold": Corruption(
        "UPDATE jobs SET held = 0 WHERE id = :waiting", {"job.hold": "waiting", "job.price": "waiting"}
    ),
    "the price of a version is changed": Corruption(
        "UPDATE agent_versions SET credits_per_use = 6 WHERE agent_id = :agent",
        {"job.price": "done failed canceled retried running waiting picture"},
    ),
    "a waiting job is metered": Corruption(
        """UPDATE jobs SET pricing = '{"unit":"image"}' WHERE id = :waiting""", {"job.pricing": "waiting"}
    ),
    "a completed job is metered": Corruption(
        """UPDATE jobs SET pricing = '{"unit":"image"}' WHERE id = :done""",
        {"job.pricing": "done", "job.usage": "done"},
    ),
    "a completed job is metered and costs nothing": Corruption(
        """UPDATE jobs SET pricing = '{"unit":"image"}', used = 0 WHERE id = :done""",
        {"job.pricing": "done", "job.usage": "done", "job.release": "done"},
    ),
    "a version is metered": Corruption(
        """UPDATE agent_versions SET pricing = '{"unit":"image"}' WHERE agent_id = :agent""",
        {"job.pricing": "done failed canceled retried running waiting picture"},
    ),
    "a job passes to another user": Corruption(
        "UPDATE jobs SET user_id = :other WHERE id = :done", {"job.hold": "done"}
    ),
    "a job used something else": Corruption("UPDATE jobs SET used = 4 WHERE id = :done", {"job.capture": "done"}),
    "a job used more than it held": Corruption(
        "UPDATE jobs SET used = 6 WHERE id = :done", {"job.capture": "done", "job.used": "done"}
    ),
    "a job is deleted": Corruption("DELETE FROM jobs WHERE id = :waiting", {"hold.job": "hold_waiting"}),
    "a job that ran is deleted": Corruption(
        "DELETE FROM jobs WHERE id = :failed", {"hold.job": "hold_failed", "attempt.job": "failed"}
    ),
    "a hold is for another thing": Corruption(
        "UPDATE transfers SET ref_id = :fresh WHERE id = :hold_waiting",
        {"job.hold": "waiting", "hold.job": "hold_waiting"},
    ),
    "the fence goes back": Corruption(
        "UPDATE jobs SET fence = 1 WHERE id = :retried",
        {"job.fence": "retried", "attempt.fence": "retried", "job.attempt": "retried", "job.seq": "retried"},
    ),
    "more attempts than are allowed": Corruption(
        "UPDATE jobs SET attempts = 4, fence = 4, seq = 4000001 WHERE id = :waiting", {"job.fence": "waiting"}
    ),
    "an attempt is forgotten": Corruption("DELETE FROM attempts WHERE job_id = :running", {"job.attempt": "running"}),
    "an attempt ended otherwise": Corruption(
        "UPDATE attempts SET outcome = 'TIMEOUT' WHERE job_id = :done", {"job.attempt": "done"}
    ),
    "a result is lost": Corruption("DELETE FROM results WHERE job_id = :done", {"job.result": "done"}),
    "a result is emptied": Corruption(
        """UPDATE results SET document = '{"outputs":[]}' WHERE job_id = :done""", {"result.there": "done"}
    ),
    "a result is not removed": Corruption(
        "UPDATE results SET expires_ms = 1 WHERE job_id = :done", {"result.removed": "done"}
    ),
    "a result appears": Corruption(
        "UPDATE results SET job_id = :running WHERE job_id = :done", {"job.result": "done running"}
    ),
    "a loser's file is shown": Corruption(
        "UPDATE results SET document = REPLACE(document, '/1/', '/2/') WHERE job_id = :picture",
        {"job.output": "picture"},
    ),
    "the events are numbered otherwise": Corruption("UPDATE jobs SET seq = 1 WHERE id = :done", {"job.seq": "done"}),
    "an ended job has a lease": Corruption("UPDATE jobs SET lease_ms = 1 WHERE id = :done", {"job.shape": "done"}),
    "nobody looks after a waiting job": Corruption(
        "UPDATE jobs SET sweep_ms = NULL WHERE id = :waiting", {"job.shape": "waiting"}
    ),
    "a lease is over": Corruption("UPDATE jobs SET lease_ms = 1 WHERE id = :running", {"job.lease": "running"}),
    "a parked job is not looked at": Corruption(
        "UPDATE jobs SET lease_ms = NULL, owner = NULL, poll_ms = 1 WHERE id = :running", {"job.unpolled": "running"}
    ),
    "a parked job has a lease": Corruption(
        "UPDATE jobs SET poll_ms = 9000000000000 WHERE id = :running", {"job.shape": "running"}
    ),
    "a waiting job is not published again": Corruption(
        "UPDATE jobs SET sweep_ms = 1 WHERE id = :waiting", {"job.unclaimed": "waiting"}
    ),
    "a waiting job has no lane": Corruption("DELETE FROM lanes", {"job.lane": "waiting"}),
    "a step is of no job": Corruption("UPDATE jobs SET parent_id = :fresh WHERE id = :free", {"step.parent": "free"}),
    "a step holds credits of its own": Corruption(
        "UPDATE jobs SET parent_id = :running WHERE id = :waiting", {"step.parent": "waiting"}
    ),
    "a job has ended and its step has not": Corruption(
        """
        UPDATE jobs SET finished_ms = CASE WHEN id = :done THEN 1 ELSE finished_ms END,
            parent_id = CASE WHEN id = :running THEN :done ELSE parent_id END
        WHERE id IN (:done, :running)
        """,
        {"step.parent": "running", "step.alive": "running"},
    ),
    "a deadline has passed": Corruption(
        "UPDATE jobs SET deadline_ms = 1 WHERE id IN (:waiting, :running, :done)", {"job.overdue": "waiting running"}
    ),
    "the letter of a failed job is lost": Corruption(
        "DELETE FROM dead_letters WHERE job_id = :failed", {"letter.missing": "failed"}
    ),
    "a job that did not fail has a letter": Corruption(
        "UPDATE dead_letters SET job_id = :done WHERE job_id = :failed", {"letter.missing": "done failed"}
    ),
    "a letter names a job that repeats nothing": Corruption(
        "UPDATE dead_letters SET state = 'replayed', resolved_ms = 1, new_job_id = :waiting WHERE job_id = :failed",
        {"letter.retry": "failed"},
    ),
    "messages don't leave": Corruption("UPDATE outbox SET created_ms = 1", {"outbox.unsent": ""}),
    "a message for later doesn't leave": Corruption("UPDATE outbox SET available_ms = 1", {"outbox.unsent": ""}),
    "messages are tried in vain": Corruption(
        "UPDATE outbox SET created_ms = 1, tries = 5, available_ms = 9000000000000", {"outbox.unsent": ""}
    ),
}


# The databases make these impossible, for as long as their unique keys are there.
UNGUARDED = {
    "a hold is released after its capture": (
        "transfers",
        "UPDATE transfers SET kind = 'release', pending_id = :hold_done WHERE id = :consume",
        {"hold.resolved_once": "hold_done", "account.posted": "user", "transfer.sides": "consume"},
    ),
    "an agent is bought twice": (
        "agent_purchases",
        """
        INSERT INTO agent_purchases (id, user_id, agent_id, active_slot, purchase_type, price, created_ms)
        SELECT :fresh, user_id, agent_id, 1, purchase_type, price, 1 FROM agent_purchases
        """,
        {"purchase.active": "other", "purchase.paid": "fresh"},
    ),
    "an e-mail is written twice": (
        "emails",
        """
        INSERT INTO emails (id, template, ref, state, due_ms, created_ms, attempts)
        SELECT :fresh, template, ref, 'sent', due_ms, created_ms, 0 FROM emails
        """,
        {"mail.once": ""},
    ),
}
