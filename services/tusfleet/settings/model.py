"""Every knob, once: flags, environment variables, keys of the file and the documentation all come from here."""

from __future__ import annotations

from pydantic import ConfigDict, model_validator

from tusfleet.settings.redis import RedisSettings
from tusfleet.settings.s3 import S3Settings
from tusfleet.settings.server import ServerSettings
from tusfleet.settings.values import DataStoreKind, Downloads, InfoStoreKind


class Settings(S3Settings, RedisSettings, ServerSettings):
    """The settings of all services: each looks at those that concern it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="after")
    def _together(self) -> Settings:
        if self.cors_credentials and "*" in self.cors_origins:
            raise ValueError("cors_credentials cannot go with the origin *; name the origins in cors_origins")
        if self.datastore is DataStoreKind.S3 and not self.s3_bucket:
            raise ValueError("s3_bucket: datastore=s3 needs the name of a bucket")
        if self.downloads is Downloads.REDIRECT and self.datastore is not DataStoreKind.S3:
            raise ValueError("downloads: redirect needs datastore=s3")
        if self.workers > 1 and self.infostore is not InfoStoreKind.SQLITE:
            raise ValueError("workers: several go with infostore=sqlite; with redis start several gateways")
        if self.forget_finished_after is not None and self.max_store_size is not None:
            raise ValueError(
                "forget_finished_after: what is forgotten is still there, and would not count in max_store_size"
            )
        return self
