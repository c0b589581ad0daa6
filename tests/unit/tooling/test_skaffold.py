"""skaffold.yaml fits skaffold's own schema and names files, images, values and ports that there are.

Its profile changes what is there.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.testbed.commands import Unavailable
from tests.testbed.go_modules import module_files

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(params=["", "plain"])
def config(request: pytest.FixtureRequest, whole: dict[str, Any]) -> dict[str, Any]:
    """What skaffold works with, without and with the profile."""
    found = copy.deepcopy(whole)
    for profile in found.pop("profiles"):
        if profile["name"] == request.param:
            for patch in profile["patches"]:
                _patch(found, **patch)
    return found


def _patch(document: Any, *, op: str, path: str, value: Any = None) -> None:
    *folders, last = path.strip("/").split("/")
    for folder in folders:
        document = document[int(folder) if isinstance(document, list) else folder]
    place = int(last) if isinstance(document, list) else last
    if op == "remove":
        del document[place]
    else:
        assert op == "replace"
        assert document[place]
        document[place] = value


@pytest.fixture(scope="module")
def schema() -> Any:
    """What skaffold says of its configuration, which carries the version by name."""
    try:
        (file,) = module_files("skaffold")
    except Unavailable as reason:
        pytest.skip(str(reason))
    return json.loads(file.read_text(encoding="utf-8"))


def test_it_fits_the_schema_of_its_version(schema: Any, config: dict[str, Any], whole: dict[str, Any]) -> None:
    (file,) = module_files("skaffold")
    assert whole["apiVersion"] == f"skaffold/{file.stem}"
    validator = jsonschema.Draft7Validator(schema)
    for document in (whole, config):
        assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)] == []


def test_the_schema_refuses_what_skaffold_does_not_know(schema: Any, whole: dict[str, Any]) -> None:
    whole = copy.deepcopy(whole)
    whole["deploy"]["helm"]["releases"][0]["chartpath"] = "charts/tusfleet"
    assert not jsonschema.Draft7Validator(schema).is_valid(whole)


def test_the_profile_is_without_the_operator(whole: dict[str, Any]) -> None:
    (profile,) = whole["profiles"]
    found = copy.deepcopy(whole)
    for patch in profile["patches"]:
        _patch(found, **patch)
    text = yaml.safe_dump({key: value for key, value in found.items() if key != "profiles"})
    assert "operator" not in text
    assert [release["chartPath"] for release in found["deploy"]["helm"]["releases"]] == ["charts/tusfleet"]
    assert [forwarded["resourceName"] for forwarded in found["portForward"]] == ["plain"]


def test_images_are_built_of_files_that_are_there(config: dict[str, Any]) -> None:
    for artifact in config["build"]["artifacts"]:
        assert (ROOT / artifact["context"] / artifact["docker"]["dockerfile"]).is_file()


def test_charts_get_the_images_that_are_built(config: dict[str, Any]) -> None:
    built = {artifact["image"].replace("-", "_") for artifact in config["build"]["artifacts"]}
    used = set()
    for release in config["deploy"]["helm"]["releases"]:
        chart = ROOT / release["chartPath"]
        values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
        for path, template in release["setValueTemplates"].items():
            folder, _, member = path.partition(".")
            # A tag that has no default is a value all the same: the chart's schema says so, and renders refuse others.
            assert folder in values
            assert member in {"repository", "tag"}
            used.add(template.removeprefix("{{.IMAGE_").removesuffix("}}").partition("_")[2])
    assert used == built


def test_files_that_it_names_are_there(config: dict[str, Any]) -> None:
    for release in config["deploy"]["helm"]["releases"]:
        for file in [f"{release['chartPath']}/Chart.yaml", *release.get("valuesFiles", [])]:
            assert (ROOT / file).is_file()
    for hook in config["deploy"]["helm"]["hooks"]["after"]:
        command = hook["host"]["command"]
        assert (ROOT / command[command.index("--filename") + 1]).is_file()


def test_what_is_forwarded_is_made(config: dict[str, Any]) -> None:
    names = {release["name"] for release in config["deploy"]["helm"]["releases"]}
    example = yaml.safe_load_all((ROOT / "examples" / "kubernetes" / "minio.yaml").read_text(encoding="utf-8"))
    names |= {found["metadata"]["name"] for found in example if found["kind"] == "TusServer"}
    ports = [forwarded["localPort"] for forwarded in config["portForward"]]
    assert len(set(ports)) == len(ports)
    assert {forwarded["resourceName"] for forwarded in config["portForward"]} <= names
