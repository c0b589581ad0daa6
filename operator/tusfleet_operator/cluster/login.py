"""Who we are: what kopf finds in the pod or in a kubeconfig."""

from __future__ import annotations

import logging
from typing import Any

import kopf

logger = logging.getLogger(__name__)


def login(**_: Any) -> kopf.ConnectionInfo:
    """Read the credentials anew: tokens of service accounts are replaced every hour.

    Raises:
        kopf.LoginError: there are none.
    """
    settings = kopf.OperatorSettings()
    found = kopf.login_with_service_account(settings=settings, logger=logger)
    found = found or kopf.login_with_kubeconfig(settings=settings, logger=logger)
    if found is None:
        raise kopf.LoginError("There is neither a service account nor a kubeconfig; set KUBECONFIG to the path of one")
    return found
