"""Kling (可灵): videos that take minutes.

Each request carries a key of ours as `external_task_id`, which is unique per account: so a request whose answer was
lost can be looked up, and the same key never generates twice.
"""
