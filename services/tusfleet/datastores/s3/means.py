"""What everything that moves bytes of one S3 store works with."""

from __future__ import annotations

from dataclasses import dataclass

from tusfleet.datastores.s3.client import S3Client
from tusfleet.datastores.s3.naming import Naming
from tusfleet.datastores.s3.objects import Workshop
from tusfleet.datastores.s3.options import S3Options
from tusfleet.datastores.s3.sizes import Sizes
from tusfleet.datastores.s3.slabs import SlabPool
from tusfleet.datastores.s3.tails import TailCache
from tusfleet.uploads.ports import intake_of


@dataclass(frozen=True, slots=True)
class Means:
    """What every append of one store works with."""

    options: S3Options
    workshop: Workshop
    sizes: Sizes
    pool: SlabPool
    cache: TailCache

    @classmethod
    def of(cls, client: S3Client) -> Means:
        """What a store with this connection works with.

        Raises:
            ValueError: the checksum needs a package that is not installed.
        """
        options = client.options
        pool = SlabPool(options.buffer_memory - intake_of(options.buffer_memory))
        workshop = Workshop.of_options(client, Naming(options))
        return cls(options, workshop, Sizes.of(options), pool, TailCache(pool, options.tail_cache))
