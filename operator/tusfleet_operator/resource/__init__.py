"""What a TusServer is: the one description from which its CRD, its documentation and its checks come."""

from __future__ import annotations

from tusfleet_operator.resource.server import InvalidServer as InvalidServer
from tusfleet_operator.resource.server import TusServer as TusServer
from tusfleet_operator.resource.spec import Spec as Spec
from tusfleet_operator.resource.status import Condition as Condition
from tusfleet_operator.resource.status import Status as Status
