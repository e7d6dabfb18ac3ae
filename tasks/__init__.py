"""The workers: Celery tasks, each an ordinary function of one message."""
