"""Records that were written a moment ago, for the one process that writes them.

A POST is followed by a PATCH, and a PATCH by a HEAD: looking the record up again would take a tenth of a small request.
"""

from __future__ import annotations

from collections import OrderedDict

from tusfleet.uploads.models import Upload

MOST = 1000
"""Records that are kept: about 1 KiB each."""


class Recent:
    """The records that were written last.

    Parameters:
        most: how many are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._records: OrderedDict[str, Upload] = OrderedDict()

    def get(self, id: str) -> Upload | None:
        """The record of an upload, None when it is not among them."""
        return self._records.get(id)

    def put(self, upload: Upload) -> None:
        """A record as it has been committed."""
        self._records[upload.id] = upload
        self._records.move_to_end(upload.id)
        if len(self._records) > self._most:
            self._records.popitem(last=False)

    def drop(self, id: str) -> None:
        """Forget what is known of an upload."""
        self._records.pop(id, None)
