"""What keeps a TusServer from being as it is wanted, and what each of it means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that needs a person, or somebody else's object.

    Parameters:
        reason: one word for programs.
        message: what is wrong and what to do, one sentence.
        blocks: whether uploads cannot be taken because of it.
    """

    reason: str
    message: str
    blocks: bool = True


SECRET_MISSING = "SecretMissing"
FOREIGN_OBJECT = "ForeignObject"
BEING_DELETED = "BeingDeleted"
API_MISSING = "ApiMissing"
REFUSED = "Refused"
STORES_SHARED = "StoresShared"
INVALID_SPEC = "InvalidSpec"
ROLLOUT_STUCK = "RolloutStuck"
GATEWAY_FAILED = "GatewayFailed"
