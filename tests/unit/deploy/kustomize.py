"""What `kubectl kustomize` makes of a folder, for the few features that ours use.

Whatever else a kustomization asks for is an error, so that nothing is passed over. Where kubectl is
installed, `test_kubernetes` compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

Object = dict[str, Any]

KNOWN = {
    "apiVersion",
    "kind",
    "namespace",
    "resources",
    "components",
    "configMapGenerator",
    "images",
    "patches",
}
MERGE_KEYS = ("name", "mountPath", "containerPort")
"""By which a strategic merge tells the items of a list apart, of the lists that ours merge."""


def documents(file: Path) -> list[Object]:
    """The YAML documents of a file."""
    found = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    assert all(isinstance(document, dict) for document in found), file
    return found


def kustomization(folder: Path) -> Object:
    """A folder's kustomization; one with a feature that is not known here fails."""
    (spec,) = documents(folder / "kustomization.yaml")
    assert set(spec) <= KNOWN, f"{folder}: teach the test {set(spec) - KNOWN}"
    return spec


def render(folder: Path) -> list[Object]:
    """The objects that a folder stands for, without the hash in a config map's name."""
    spec = kustomization(folder)
    objects: list[Object] = []
    for name in spec.get("resources", ()):
        path = (folder / name).resolve()
        objects += render(path) if path.is_dir() else documents(path)
    objects += [_config_map(folder, made) for made in spec.get("configMapGenerator", ())]
    for name in spec.get("components", ()):
        path = (folder / name).resolve()
        assert kustomization(path)["kind"] == "Component", path
        objects += render(path)
    for patch in spec.get("patches", ()):
        _patch(folder, patch, objects)
    for image in spec.get("images", ()):
        _name_image(folder, image, objects)
    if "namespace" in spec:
        for thing in objects:
            thing["metadata"]["namespace"] = spec["namespace"]
    names = [identity(thing) for thing in objects]
    assert len(names) == len(set(names)), f"{folder}: twice the same: {names}"
    return objects


def identity(thing: Object) -> tuple[str, str]:
    """Kind and name."""
    return thing["kind"], thing["metadata"]["name"]


def pod_of(thing: Object) -> Object | None:
    """The pod's template in an object; None in those that make no pods."""
    match thing["kind"]:
        case "StatefulSet" | "Job":
            template: Object = thing["spec"]["template"]
        case "CronJob":
            template = thing["spec"]["jobTemplate"]["spec"]["template"]
        case _:
            return None
    return template


def _config_map(folder: Path, made: Object) -> Object:
    assert set(made) == {"name", "envs"}, folder
    data: dict[str, str] = {}
    for name in made["envs"]:
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                key, _, value = line.partition("=")
                data[key] = value
    metadata = {"name": made["name"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _patch(folder: Path, patch: Object, objects: list[Object]) -> None:
    if "path" in patch:
        (change,) = documents(folder / patch["path"])
        wanted = identity(change)
    else:
        wanted = patch["target"]["kind"], patch["target"]["name"]
    targets = [thing for thing in objects if identity(thing) == wanted]
    assert len(targets) == 1, f"{folder}: the patch of {wanted} has {len(targets)} targets"
    if "path" in patch:
        _merge(targets[0], change)
        return
    for step in yaml.safe_load(patch["patch"]):
        assert step["op"] == "replace", step
        *parents, last = step["path"].strip("/").split("/")
        place: Any = targets[0]
        for part in parents:
            place = place[int(part) if isinstance(place, list) else part]
        assert last in place, f"{folder}: {step['path']} is not there to be replaced"
        place[last] = step["value"]


def _merge(target: Object, change: Object) -> None:
    for key, value in change.items():
        old = target.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            _merge(old, value)
        elif isinstance(value, list) and isinstance(old, list):
            _merge_lists(old, value)
        else:
            target[key] = value


def _merge_lists(old: list[Any], change: list[Any]) -> None:
    for item in change:
        by = next((key for key in MERGE_KEYS if key in item), None)
        assert by is not None, f"no key to merge {item} by"
        same = [other for other in old if other.get(by) == item[by]]
        if same:
            _merge(same[0], item)
        else:
            old.append(item)


def _name_image(folder: Path, image: Object, objects: list[Object]) -> None:
    used = False
    for thing in objects:
        pod = pod_of(thing)
        for container in pod["spec"]["containers"] if pod else ():
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
                used = True
    assert used, f"{folder}: no container has the image {image['name']}"
