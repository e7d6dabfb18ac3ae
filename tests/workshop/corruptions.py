"""Changes of projects that only a hand or a bug can make, and what the doctor says of each: check → whom it names.

`project` has a version by hand, one by the job `saved`, which is current; the version of the job `refused` came to
nothing; the job `waiting` has not run. Someone is invited.
"""

PROJECT_CORRUPTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "an older version is deleted": (
        "DELETE FROM project_versions WHERE project_id = :project AND number = 1",
        {"project.versions": "project"},
    ),
    "the version of a job is deleted": (
        "DELETE FROM project_versions WHERE job_id = :saved",
        {"project.versions": "project", "project.current": "project", "version.asked": "saved"},
    ),
    "a number is passed over": (
        "UPDATE project_versions SET number = 3 WHERE job_id = :saved",
        {"project.versions": "project", "project.current": "project"},
    ),
    "a project counts more than it has": (
        "UPDATE projects SET versions = versions + 1 WHERE id = :project",
        {"project.versions": "project"},
    ),
    "no version is current": (
        "UPDATE projects SET current_number = 0 WHERE id = :project",
        {"project.current": "project"},
    ),
    "an owner works for themselves": (
        "UPDATE project_members SET user_id = :owner WHERE project_id = :project",
        {"project.member": "project"},
    ),
    "an owner is invited by themselves": (
        "UPDATE project_invitations SET user_id = :owner WHERE project_id = :project",
        {"project.member": "project"},
    ),
    "what a version refers to is gone": (
        "UPDATE results SET gone_ms = 1 WHERE job_id = :saved",
        {"result.referred": "saved"},
    ),
    "nobody asked for a version": (
        "DELETE FROM project_saves WHERE job_id = :saved",
        {"version.job": "project"},
    ),
    "a version was refused and is there": (
        "UPDATE project_saves SET reason = 'FORBIDDEN' WHERE job_id = :saved",
        {"version.asked": "saved"},
    ),
    "there is no version and no reason": (
        "UPDATE project_saves SET reason = NULL WHERE job_id = :refused",
        {"version.asked": "refused"},
    ),
    "a reason comes too early": (
        "UPDATE project_saves SET reason = 'FORBIDDEN' WHERE job_id = :waiting",
        {"version.asked": "waiting"},
    ),
    "a version passes to a job that has not run": (
        "UPDATE project_versions SET job_id = :waiting WHERE job_id = :saved",
        {"version.job": "project", "version.asked": "saved waiting"},
    ),
    "a version passes to another author": (
        "UPDATE project_versions SET author_id = :owner WHERE job_id = :saved",
        {"version.job": "project"},
    ),
    "a project that is purged loses versions part by part": (
        "UPDATE projects SET deleted_ms = 1, versions = 9 WHERE id = :project",
        {},
    ),
}
