"""The manifests: valid by the API's own schemas, and true to the code that they run."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.fakes.clock import ManualClock
from tests.unit.deploy.commands import check_arguments, is_setting
from tests.unit.deploy.kustomize import Object, identity, kustomization, pod_of, render
from worker.commands.stopping import END_S
from worker.health import Health
from worker.metrics import Metrics
from worker.serving import Serving
from worker.settings import Settings, given_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("overlays/cpu", "overlays/gpu")
BUILDS = (*OVERLAYS, "jobs/migrate", "jobs/replay")
VERSIONS = ("1.31", "1.37")
"""The oldest Kubernetes that somebody still gives support for, and the newest with schemas here."""

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
RULES = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "stabilizationWindowSeconds": {"type": "integer", "minimum": 0, "maximum": 3600},
        "selectPolicy": {"enum": ["Max", "Min", "Disabled"]},
        "policies": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["type", "value", "periodSeconds"],
                "properties": {
                    "type": {"enum": ["Pods", "Percent"]},
                    "value": {"type": "integer", "minimum": 1},
                    "periodSeconds": {"type": "integer", "minimum": 1, "maximum": 1800},
                },
            },
        },
    },
}
SCALED_OBJECT = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "keda.sh/v1alpha1"},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["scaleTargetRef", "triggers"],
            "properties": {
                "scaleTargetRef": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["name"],
                    "properties": {
                        key: {"type": "string"}
                        for key in ("apiVersion", "kind", "name", "envSourceContainerName")
                    },
                },
                **{
                    key: {"type": "integer", "minimum": 0}
                    for key in (
                        "pollingInterval",
                        "cooldownPeriod",
                        "idleReplicaCount",
                        "minReplicaCount",
                        "maxReplicaCount",
                    )
                },
                "advanced": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "horizontalPodAutoscalerConfig": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                "behavior": {
                                    "type": "object",
                                    "additionalProperties": False,
                                    "properties": {"scaleUp": RULES, "scaleDown": RULES},
                                }
                            },
                        }
                    },
                },
                "triggers": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["type", "metadata"],
                        "properties": {
                            "type": {"const": "kafka"},
                            "name": {"type": "string"},
                            "metadata": TEXTS,
                            "authenticationRef": TEXTS,
                        },
                    },
                },
            },
        },
    },
}
"""Of https://keda.sh/docs/latest/reference/scaledobject-spec/, what one by Kafka lag may have."""
KAFKA_TRIGGER = {
    "bootstrapServersFromEnv",
    "consumerGroupFromEnv",
    "topicFromEnv",
    "lagThreshold",
    "offsetResetPolicy",
    "allowIdleConsumers",
}
"""Of https://keda.sh/docs/latest/scalers/apache-kafka/, what ours has."""


@pytest.fixture(params=BUILDS)
def build(request: pytest.FixtureRequest) -> list[Object]:
    return render(FOLDER / request.param)


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> dict[str, Object]:
    """An overlay's objects by kind, of those kinds that there is one of."""
    return {thing["kind"]: thing for thing in render(FOLDER / request.param)}


def _pods(build: list[Object]) -> Iterator[tuple[Object, Object]]:
    for thing in build:
        if (pod := pod_of(thing)) is not None:
            yield thing, pod


def _container(thing: Object) -> Object:
    pod = pod_of(thing)
    assert pod is not None
    (container,) = pod["spec"]["containers"]
    return container  # type: ignore[no-any-return]


# Form


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_the_schema_of_its_kind(build: list[Object], version: str) -> None:
    for thing in build:
        if thing["apiVersion"].startswith("keda.sh/"):
            Draft202012Validator(SCALED_OBJECT).validate(thing)
        else:
            kubernetes_validate.validate(thing, version, strict=True)


def test_a_wrong_field_would_be_seen() -> None:
    wrong = next(thing for thing in render(FOLDER / "overlays/cpu") if thing["kind"] == "Service")
    wrong["spec"]["selektor"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("name", BUILDS)
def test_kubectl_makes_the_same_of_it(name: str) -> None:
    made = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER / name)], check=True, capture_output=True, text=True
    ).stdout
    theirs: list[Object] = list(yaml.safe_load_all(made))
    (config,) = (thing for thing in theirs if thing["kind"] == "ConfigMap")
    hashed = config["metadata"]["name"]
    assert hashed.startswith("emotion-worker-")
    theirs = list(yaml.safe_load_all(made.replace(hashed, "emotion-worker")))
    ours = render(FOLDER / name)
    assert sorted(map(identity, ours)) == sorted(map(identity, theirs))
    for thing in ours:
        (same,) = (other for other in theirs if identity(other) == identity(thing))
        assert _unordered(thing) == _unordered(same)


def _unordered(value: Any) -> Any:
    """A patch's new items may come first or last; which does not matter to us."""
    if isinstance(value, dict):
        return {key: _unordered(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted(map(_unordered, value), key=partial(json.dumps, sort_keys=True))
    return value


def test_every_file_is_used_by_a_kustomization() -> None:
    used = {FOLDER / "namespace.yaml"}
    for file in FOLDER.rglob("kustomization.yaml"):
        spec = kustomization(file.parent)
        used.add(file)
        used |= {file.parent / name for name in spec.get("resources", ())}
        used |= {
            file.parent / patch["path"] for patch in spec.get("patches", ()) if "path" in patch
        }
        for made in spec.get("configMapGenerator", ()):
            used |= {file.parent / name for name in made["envs"]}
    there = {path for path in FOLDER.rglob("*") if path.is_file()}
    assert there == {path for path in used if path.is_file()}


def test_all_is_in_the_namespace_that_is_made() -> None:
    namespace = yaml.safe_load((FOLDER / "namespace.yaml").read_text(encoding="utf-8"))
    kubernetes_validate.validate(namespace, VERSIONS[-1], strict=True)
    assert {kustomization(FOLDER / name)["namespace"] for name in BUILDS} == {
        namespace["metadata"]["name"]
    }
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


# What runs


def test_each_container_runs_a_command_that_there_is(build: list[Object]) -> None:
    for thing, _ in _pods(build):
        check_arguments(_container(thing)["args"])


def test_each_variable_is_a_setting(build: list[Object]) -> None:
    for thing in build:
        if thing["kind"] == "ConfigMap":
            assert all(map(is_setting, thing["data"])), thing["data"]
    for thing, _ in _pods(build):
        for variable in _container(thing).get("env", ()):
            name = variable["name"]
            assert is_setting(name) or name == "OMP_NUM_THREADS", name


def test_the_settings_are_good_ones(build: list[Object]) -> None:
    (config,) = (thing for thing in build if thing["kind"] == "ConfigMap")
    values = {key.removeprefix("WORKER_").lower(): value for key, value in config["data"].items()}
    assert set(values) <= set(Settings.model_fields)
    settings = given_settings(**values)
    assert settings.maintain_seconds == 0  # the CronJob does it


def test_images_are_those_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tags = {name: kustomization(FOLDER / name)["images"][0]["newTag"] for name in BUILDS}
    assert tags == {
        name: f"{project['version']}-{'cuda' if name == 'overlays/gpu' else 'cpu'}"
        for name in BUILDS
    }


def test_secrets_are_named_and_not_written(build: list[Object]) -> None:
    assert all(thing["kind"] != "Secret" for thing in build)
    for thing, pod in _pods(build):
        (mount,) = (m for m in _container(thing)["volumeMounts"] if m["name"] == "secrets")
        files = [
            variable["value"]
            for variable in _container(thing)["env"]
            if variable["name"].endswith("_FILE")
        ]
        assert files == [f"{mount['mountPath']}/database-url"]
        (volume,) = (v for v in pod["spec"]["volumes"] if v["name"] == "secrets")
        names = [volume["secret"]["secretName"]] if "secret" in volume else []
        sources = volume.get("projected", {}).get("sources", ())
        names += [source["secret"]["name"] for source in sources]
        owner = _container(thing)["args"][0] in {"migrate", "maintain"}
        assert names[0] == ("emotion-owner" if owner else "emotion-writer")


# Safety


def test_pods_keep_to_the_restricted_standard(build: list[Object]) -> None:
    for thing, pod in _pods(build):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["serviceAccountName"] in {
            other["metadata"]["name"] for other in build if other["kind"] == "ServiceAccount"
        }
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        container = _container(thing)
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted["tmp"] == "/tmp"
        assert set(mounted) == {volume["name"] for volume in spec["volumes"]}


def test_the_account_has_no_rights(build: list[Object]) -> None:
    (account,) = (thing for thing in build if thing["kind"] == "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert not {thing["kind"] for thing in build} & {
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
    }


def test_the_network_is_closed_but_for_what_is_needed(build: list[Object]) -> None:
    policies = {
        thing["metadata"]["name"]: thing["spec"]
        for thing in build
        if thing["kind"] == "NetworkPolicy"
    }
    deny = policies["emotion-default-deny"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny
    assert "egress" not in deny
    for _, pod in _pods(build):
        assert deny["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    ports = {
        port["port"] for rule in policies["emotion-egress"]["egress"] for port in rule["ports"]
    }
    assert ports == {53, 9092, 9093, 5432}
    (way_in,) = policies["emotion-metrics"]["ingress"]
    assert [port["port"] for port in way_in["ports"]] == [given_settings().metrics_port]


# The workers


def test_a_stop_has_time_to_finish(overlay: dict[str, Object]) -> None:
    pod = pod_of(overlay["StatefulSet"])
    assert pod is not None
    assert pod["spec"]["terminationGracePeriodSeconds"] >= END_S + 5


def test_membership_is_static_by_the_pods_name(overlay: dict[str, Object]) -> None:
    variables = {item["name"]: item for item in _container(overlay["StatefulSet"])["env"]}
    assert variables["WORKER_KAFKA_GROUP_INSTANCE_ID"]["valueFrom"] == {
        "fieldRef": {"fieldPath": "metadata.name"}
    }


def test_probes_ask_what_the_worker_answers(overlay: dict[str, Object]) -> None:
    container = _container(overlay["StatefulSet"])
    (port,) = container["ports"]
    assert port["containerPort"] == given_settings().metrics_port
    asked = {
        name: container[name]["httpGet"]["path"]
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert all(container[name]["httpGet"]["port"] == port["name"] for name in asked)
    start = container["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 120
    paths = {path.partition("(")[0].strip() for path in _paths()}
    assert set(asked.values()) | {_annotation(overlay, "path")} <= paths
    assert _annotation(overlay, "port") == str(port["containerPort"])


def _annotation(overlay: dict[str, Object], name: str) -> str:
    pod = pod_of(overlay["StatefulSet"])
    assert pod is not None
    found: str = pod["metadata"]["annotations"][f"prometheus.io/{name}"]
    return found


def _paths() -> set[str]:
    """Those that the real server answers other than with 404."""
    import http.client  # noqa: PLC0415

    found = set()
    with Serving(Metrics(), Health(60.0, ManualClock()), 0) as serving:
        for path in ("/metrics", "/livez", "/readyz", "/healthz"):
            connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status != 404:
                found.add(path)
            connection.close()
    assert "/healthz" not in found
    return found


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget"])
def test_selectors_match_the_workers_alone(overlay: dict[str, Object], kind: str) -> None:
    selector = overlay[kind]["spec"]["selector"]
    wanted = selector.get("matchLabels", selector).items()
    worker, upkeep = (pod_of(overlay[name]) for name in ("StatefulSet", "CronJob"))
    assert worker is not None
    assert upkeep is not None
    assert wanted <= worker["metadata"]["labels"].items()
    assert not wanted <= upkeep["metadata"]["labels"].items()


def test_the_stateful_set_is_whole(overlay: dict[str, Object]) -> None:
    workers = overlay["StatefulSet"]
    pod = pod_of(workers)
    assert pod is not None
    labels = pod["metadata"]["labels"].items()
    assert workers["spec"]["selector"]["matchLabels"].items() <= labels
    assert workers["spec"]["serviceName"] == overlay["Service"]["metadata"]["name"]
    assert "replicas" not in workers["spec"]  # the autoscaler's, not ours to set back
    for spread in pod["spec"]["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= labels


def test_the_autoscaler_asks_for_what_the_workers_read(overlay: dict[str, Object]) -> None:
    scaled, workers = overlay["ScaledObject"], overlay["StatefulSet"]
    target = scaled["spec"]["scaleTargetRef"]
    assert (target["apiVersion"], target["kind"]) == (workers["apiVersion"], workers["kind"])
    assert target["name"] == workers["metadata"]["name"]
    assert target["envSourceContainerName"] == _container(workers)["name"]
    (trigger,) = scaled["spec"]["triggers"]
    assert set(trigger["metadata"]) == KAFKA_TRIGGER
    variables = overlay["ConfigMap"]["data"]
    for key in ("bootstrapServersFromEnv", "consumerGroupFromEnv", "topicFromEnv"):
        assert trigger["metadata"][key] in variables
    # A trigger knows one topic.
    assert "," not in variables["WORKER_TOPICS"]
    assert trigger["metadata"]["offsetResetPolicy"] == given_settings().auto_offset_reset


def test_the_autoscaler_is_capped_and_slow(overlay: dict[str, Object]) -> None:
    spec = overlay["ScaledObject"]["spec"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    partitions = compose["services"]["topic-init"]["environment"]["PARTITIONS"]
    assert spec["maxReplicaCount"] == int(partitions.partition(":-")[2].rstrip("}"))
    assert spec["minReplicaCount"] >= 1
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    # A static member that is gone keeps its partitions for a session timeout.
    session_s = given_settings().kafka_session_timeout_ms / 1_000
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] > 10 * session_s
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] > session_s


def test_a_gpu_is_asked_for_by_the_gpu_overlay_alone() -> None:
    by_overlay = {
        name: next(thing for thing in render(FOLDER / name) if thing["kind"] == "StatefulSet")
        for name in OVERLAYS
    }
    gpu, cpu = (_container(by_overlay[name]) for name in ("overlays/gpu", "overlays/cpu"))
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in cpu["resources"]["limits"]
    assert {"name": "WORKER_DEVICE", "value": "cuda"} in gpu["env"]
