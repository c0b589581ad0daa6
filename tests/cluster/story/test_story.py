"""The whole story, as people meet it: install a chart, apply a TusServer, upload."""

from __future__ import annotations

from tests.cluster.story.site import Site, sha256

MB = 1000 * 1000


def test_from_nothing_to_an_object_in_the_bucket(site: Site) -> None:
    place = site.file("film", 200 * MB)
    key = site.upload(place)
    assert site.bucket.sha256(key) == sha256(place)
