"""Every knob: what it means (`model`), how it is written (`values`), where its value comes from (`loading`)."""

from __future__ import annotations

from tusfleet.settings.loading import ENVIRONMENT_PREFIX as ENVIRONMENT_PREFIX
from tusfleet.settings.loading import Loaded as Loaded
from tusfleet.settings.loading import SettingsError as SettingsError
from tusfleet.settings.loading import load as load
from tusfleet.settings.loading import without_password as without_password
from tusfleet.settings.model import Settings as Settings
from tusfleet.settings.values import DataStoreKind as DataStoreKind
from tusfleet.settings.values import Downloads as Downloads
from tusfleet.settings.values import Durability as Durability
from tusfleet.settings.values import Duration as Duration
from tusfleet.settings.values import ExpirationMode as ExpirationMode
from tusfleet.settings.values import InfoStoreKind as InfoStoreKind
from tusfleet.settings.values import Listed as Listed
from tusfleet.settings.values import LogFormat as LogFormat
from tusfleet.settings.values import Size as Size
