"""What deploy/ promises: valid manifests, probes that are served, stops that are waited for."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import FormatChecker, ValidationError, validate

from plexus_proxy.api.health import routes
from plexus_proxy.config.load import load
from plexus_proxy.config.model import Limits, Shutdown
from plexus_proxy.settings import DEFAULT_PORT

DEPLOY = Path(__file__).parent.parent / "deploy"
MANIFESTS = ("kubernetes.yaml", "kubernetes-single.yaml")
COMPOSE = ("compose.yaml", "compose.postgres.yaml")
_SECRET = re.compile(r"(?<!topology)(?:password|secret|key|url):\s*\"?([^\s\"{][^\s\",]*)", re.I)
NEEDED_S = Shutdown().drain_s + Shutdown().grace_s


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((DEPLOY / name).read_text()) if each]


def of_kind(name: str, kind: str) -> dict[str, Any]:
    [found] = [each for each in documents(name) if each["kind"] == kind]
    return found


def pod(name: str) -> dict[str, Any]:
    return of_kind(name, "Deployment")["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", ["1.29", "1.34"])
@pytest.mark.parametrize("name", MANIFESTS)
def test_every_manifest_is_valid_to_the_letter(name: str, version: str) -> None:
    for document in documents(name):
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", COMPOSE)
def test_every_compose_file_is_valid_to_the_letter(name: str) -> None:
    schema = get_builtin_schema("vendor.compose-spec")
    [document] = documents(name)
    validate(document, schema, format_checker=FormatChecker())
    document["services"]["plexus"]["restrat"] = "always"
    with pytest.raises(ValidationError, match="restrat"):
        validate(document, schema)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_config_in_a_manifest_runs_on_the_secrets_it_names(name: str) -> None:
    text = of_kind(name, "Secret")["stringData"]["plexus.yaml"]
    named = set(re.findall(r"\$\{(\w+)\}", text))
    told = set(re.findall(r"--from-literal=(\w+)=", (DEPLOY / name).read_text()))
    assert named <= told
    secrets = {each: f"{each}-0123456789abcdef0123456789abcdef" for each in told}
    assert load(text, secrets, loopback=False)[1] == []
    assert load(text, {}, loopback=False)[0] is None  # nothing to log in with stands in the file


def test_replicas_get_their_database_from_a_secret() -> None:
    [container] = pod("kubernetes.yaml")["containers"]
    [source] = container["envFrom"]
    secret = source["secretRef"]["name"]
    header = (DEPLOY / "kubernetes.yaml").read_text()
    assert f"create secret generic {secret} " in header
    assert "--from-literal=DATABASE_URL=postgres://" in header
    assert "DATABASE_URL" not in {each["name"] for each in container["env"]}


@pytest.mark.parametrize("name", MANIFESTS)
def test_probes_ask_what_is_served(name: str) -> None:
    [container] = pod(name)["containers"]
    served = {route.path for route in routes()}
    [port] = container["ports"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in served
        assert asked["port"] in (port["containerPort"], port.get("name"))
    assert port["containerPort"] == DEFAULT_PORT
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_stop_is_waited_for(name: str) -> None:
    [container] = pod(name)["containers"]
    hook = container.get("lifecycle", {}).get("preStop", {"exec": {"command": ["sleep", "0"]}})
    before_s = float(hook["exec"]["command"][1])
    assert pod(name)["terminationGracePeriodSeconds"] > before_s + NEEDED_S


@pytest.mark.parametrize("name", MANIFESTS)
def test_pods_may_do_little(name: str) -> None:
    [container] = pod(name)["containers"]
    assert pod(name)["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_a_pod_still_serves_while_its_address_is_removed() -> None:
    [container] = pod("kubernetes.yaml")["containers"]
    assert float(container["lifecycle"]["preStop"]["exec"]["command"][1]) > 0
    [spread] = pod("kubernetes.yaml")["topologySpreadConstraints"]
    deployment = of_kind("kubernetes.yaml", "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert spread["labelSelector"]["matchLabels"] == labels


def test_replicas_come_before_others_go() -> None:
    deployment = of_kind("kubernetes.yaml", "Deployment")
    rolling = deployment["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxUnavailable": 0, "maxSurge": 1}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    budget = of_kind("kubernetes.yaml", "PodDisruptionBudget")
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    scaler = of_kind("kubernetes.yaml", "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert 2 <= scaler["minReplicas"] <= scaler["maxReplicas"]
    service = of_kind("kubernetes.yaml", "Service")
    assert service["spec"]["selector"].items() <= labels.items()
    [container] = pod("kubernetes.yaml")["containers"]
    assert container["resources"]["requests"]["cpu"]  # what the autoscaler measures against


@pytest.mark.parametrize("name", [*MANIFESTS, *COMPOSE])
def test_no_secret_stands_in_a_file(name: str) -> None:
    lines = (DEPLOY / name).read_text().splitlines()
    said = [line for line in lines if not line.lstrip().startswith("#")]
    for line in said:
        for value in _SECRET.findall(line):
            assert "${" in value or value in ("demo://",), line


@pytest.mark.parametrize("name", COMPOSE)
def test_containers_stop_as_slowly_as_they_need(name: str) -> None:
    [file] = documents(name)
    services = file["services"]
    for each in services.keys() & {"plexus", "front"}:
        minutes = int(services[each]["stop_grace_period"].removesuffix("m"))
        assert minutes * 60 > NEEDED_S
    assert services["plexus"]["read_only"] is True


def test_the_front_holds_no_stream_back() -> None:
    [file] = documents("compose.postgres.yaml")
    assert file["services"]["postgres"]["healthcheck"]["test"]
    assert file["services"]["plexus"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert "ports" not in file["services"]["plexus"]  # so that there may be many
    front = (DEPLOY / "nginx.conf").read_text()
    assert re.search(r"^\s*proxy_buffering off;", front, re.M)
    [read_s] = re.findall(r"proxy_read_timeout (\d+)s", front)
    assert int(read_s) > 3600
    [size_m] = re.findall(r"client_max_body_size (\d+)m", front)
    assert int(size_m) << 20 >= Limits().body_bytes  # too large is for the gateway to say
    for line in (
        "proxy_http_version 1.1;",
        'proxy_set_header Connection "";',
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    ):
        assert line in front


def test_the_front_gives_no_gateway_up_and_holds_many_streams() -> None:
    [file] = documents("compose.postgres.yaml")
    assert "./nginx.conf:/etc/nginx/nginx.conf:ro" in file["services"]["front"]["volumes"]
    front = (DEPLOY / "nginx.conf").read_text()
    servers = re.findall(r"^\s*server (\S+) (.*);", front, re.M)
    assert servers == [("plexus:4000", "resolve max_fails=0")]
    assert re.search(r"^\s*proxy_next_upstream error;", front, re.M)
    assert "proxy_next_upstream_tries" not in front
    [connections] = re.findall(r"worker_connections (\d+)", front)
    assert int(connections) >= 10_000  # the image's own file has 1024, 512 streams
