"""The two places where files may be: a folder, or Aliyun OSS."""

from atelier.kernel.settings import Settings
from atelier.storage.local import LocalStorage
from atelier.storage.port import Storage


def choose(settings: Settings) -> Storage:
    """The store that the settings name. Make one per process, after any fork."""
    if settings.storage == "local":
        return LocalStorage(settings.data_dir / "files")
    from atelier.storage.oss import OssOptions, OssStorage  # noqa: PLC0415 - its library is large, and few need it

    return OssStorage(
        OssOptions(
            endpoint=settings.oss_endpoint,
            public_endpoint=settings.oss_public_endpoint or settings.oss_endpoint,
            region=settings.oss_region,
            bucket=settings.oss_bucket,
            key_id=settings.oss_key_id,
            key_secret=settings.oss_key_secret.get_secret_value(),
            prefix=settings.oss_prefix,
            connect_seconds=settings.oss_connect_seconds,
            read_seconds=settings.oss_read_seconds,
            tries=settings.oss_tries,
        )
    )
