"""The container files, without Docker: against Compose's own schema, a Dockerfile parser, and our own rules."""

from __future__ import annotations

import ast
import fnmatch
import json
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from dockerfile_parse import DockerfileParser
from setuptools import find_packages
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from support import compose

from flows.viewer import security, serve

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
FILES = sorted(DOCKER.glob("compose*.yaml"))
SCHEMA = json.loads((ROOT / "tests" / "services" / "compose-spec.json").read_text())
GIVEN = {
    name: f"value-of-{name}"
    for name in (
        "ACTLAS_IMAGES",
        "ACTLAS_MODELS",
    )
}
SECRETS = {
    "postgres_password": "p/o@st gres'\"$x",
    "redis_password": "r:e/d@is",
    "prefect_auth": "admin:pre fect",
    "actlas_token": "viewer-token",
}
WHOLE = [DOCKER / "compose.yaml", DOCKER / "compose.lite.yaml"]


def read(file: Path) -> dict[str, Any]:
    return compose.load(file, GIVEN)


def problems(document: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(document)]


def ours(file: Path) -> dict[str, Any]:
    """Return the services that run our image."""
    services = read(file)["services"]
    return {name: service for name, service in services.items() if "actlas" in service.get("image", "")}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_compose_files_fit_the_schema(file: Path) -> None:
    assert problems(read(file)) == []


def test_mutant_what_the_schema_does_not_know_is_seen() -> None:
    document = read(DOCKER / "compose.yaml")
    document["services"]["server"]["helthcheck"] = {}
    document["services"]["worker"]["depends_on"]["server"]["condition"] = "service_hearty"
    assert len(problems(document)) == 2


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_variable_is_explained_or_has_a_default(file: Path) -> None:
    example = {line.split("=")[0] for line in (DOCKER / ".env.example").read_text().splitlines() if "=" in line}
    with_default = {
        *("ACTLAS_SECRETS", "ACTLAS_WORKER_MEMORY", "ACTLAS_VIEWER_MEMORY", "ACTLAS_WORKER_CPUS"),
        *("ACTLAS_CONTAINER", "ACTLAS_CUDA_CONTAINER", "ACTLAS_GPUS", "ACTLAS_VIEWER_URL"),
        *(f"ACTLAS_{name}" for name in ("NAME", "LIMIT", "CRON", "TIMEZONE", "CONFIG")),
    }
    assert compose.variables(file.read_text()) <= set(GIVEN) | with_default
    assert set(GIVEN) <= example


@pytest.mark.parametrize("file", [DOCKER / "compose.yaml", DOCKER / "compose.lite.yaml"], ids=lambda file: file.name)
def test_nothing_starts_without_its_folders(file: Path) -> None:
    needed = compose.variables(file.read_text()) & set(GIVEN)
    for name in needed:
        with pytest.raises(KeyError, match=name):
            compose.load(file, {key: value for key, value in GIVEN.items() if key != name})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_ports_are_this_machines_only_and_images_have_a_version(file: Path) -> None:
    for name, service in read(file)["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert service["image"].startswith("actlas") or ":" in service["image"], name
        assert not service["image"].endswith("latest"), name


@pytest.mark.parametrize("file", [DOCKER / "compose.yaml", DOCKER / "compose.lite.yaml"], ids=lambda file: file.name)
def test_our_containers_may_do_little(file: Path) -> None:
    found = ours(file)
    assert found
    for name, service in found.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "user" not in service, name  # the image's own, which is not root
        volumes = service.get("volumes", [])
        only_read = [volume for volume in volumes if ":/data/images" in volume or name == "viewer"]
        assert all(volume.endswith(":ro") for volume in only_read), name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_waited_for_can_be_told_to_be_well(file: Path) -> None:
    services = read(file)["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            checked = "healthcheck" in services[other] if how["condition"] == "service_healthy" else True
            assert checked, f"{name} waits for {other}"


def test_the_order_is_databases_server_deployments_worker() -> None:
    services = read(DOCKER / "compose.yaml")["services"]
    waits = {name: set(service.get("depends_on", {})) for name, service in services.items()}
    assert waits["server"] == {"postgres", "redis"}
    assert waits["services"] == waits["deploy"] == {"server"}
    assert waits["worker"] == {"server", "services", "deploy"}
    assert waits["viewer"] == set()  # it can be started alone


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.name)
def test_secrets_are_files_and_stand_in_no_setting(file: Path) -> None:
    """Every secret that a service names is mounted there, explained, and used by nothing else."""
    document, example = read(file), (DOCKER / ".env.example").read_text()
    for name, source in document["secrets"].items():
        assert source == {"file": f"./secrets/{name}"}
        assert name in example
    for name, service in document["services"].items():
        text = json.dumps(service)
        named = {word for word in SECRETS if f"/run/secrets/{word}" in text}
        assert named == set(service.get("secrets", [])), name
        for key, value in service.get("environment", {}).items():
            if any(word in key for word in ("PASSWORD", "AUTH_STRING", "TOKEN")):
                assert key.endswith("_FILE"), key
                assert value.startswith("/run/secrets/"), key


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.name)
def test_every_container_has_limits_and_keeps_short_logs(file: Path) -> None:
    for name, service in read(file)["services"].items():
        assert service["mem_limit"][-1] in "gm", name
        assert 0 < service["pids_limit"] <= 4096, name
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}, name


def test_networks_keep_apart_what_need_not_talk() -> None:
    document = read(DOCKER / "compose.yaml")
    members: dict[str, set[str]] = {}
    for name, service in document["services"].items():
        for network in service["networks"]:
            members.setdefault(network, set()).add(name)
    assert members == {
        "database": {"postgres", "redis", "server", "services"},
        "prefect": {"server", "deploy", "worker"},
        "viewer": {"viewer"},
    }
    assert document["networks"]["database"] == {"internal": True}
    lite = read(DOCKER / "compose.lite.yaml")["services"]
    assert (lite["serve"]["networks"], lite["viewer"]["networks"]) == (["prefect"], ["viewer"])


SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def with_secrets(settings: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    run = [str(compose.WITH_SECRETS), *(command or (sys.executable, "-c", SHOW))]
    return subprocess.run(run, env={"PATH": path} | settings, capture_output=True, text=True)


def test_the_entry_point_reads_secrets_from_their_files(tmp_path: Path) -> None:
    folder = compose.write_secrets(tmp_path / "secrets", SECRETS)
    for file in WHOLE:
        for name, service in ours(file).items():
            settings = {
                key: str(value).replace("/run/secrets", str(folder)) for key, value in service["environment"].items()
            }
            run = with_secrets(settings)
            assert run.returncode == 0, run.stderr
            environment = json.loads(run.stdout)
            for key, place in settings.items():
                if key.startswith("PREFECT_") and key.endswith("_FILE"):
                    assert environment[key.removesuffix("_FILE")] == SECRETS[Path(place).name], (name, key)
            assert "REDIS_PASSWORD" not in environment
            assert "ACTLAS_TOKEN" not in environment
            if "PREFECT_SERVER_DOCKET_URL" in settings:
                assert environment["PREFECT_SERVER_DOCKET_URL"] == "redis://:r%3Ae%2Fd%40is@redis:6379/1"
    assert with_secrets({}, "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, ""), ({"NO_PROXY": "corp"}, "corp,"), ({"no_proxy": "corp", "NO_PROXY": "other"}, "corp,")],
)
def test_containers_reach_each_other_without_a_proxy(given: dict[str, str], expected: str) -> None:
    environment = json.loads(with_secrets(given | {"HTTP_PROXY": "http://proxy:3128"}).stdout)
    for name in ("no_proxy", "NO_PROXY"):
        assert environment[name] == f"{expected}localhost,127.0.0.1,server"
    assert environment["HTTP_PROXY"] == "http://proxy:3128"


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.name)
def test_health_checks_take_no_proxy(file: Path) -> None:
    for name, service in ours(file).items():
        code = str(service.get("healthcheck", {}).get("test", ""))
        assert "urlopen" not in code, name  # which takes that of the environment
        assert code.count("urllib") == code.count("ProxyHandler({})"), name


@pytest.mark.parametrize("content", [None, ""])
def test_a_secret_that_is_not_there_ends_the_container(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "none").write_text(content)
    run = with_secrets({"PREFECT_API_AUTH_STRING_FILE": str(tmp_path / "none")})
    assert (run.returncode, run.stdout) == (1, "")
    assert f"{tmp_path}/none is missing, empty or not readable" in run.stderr


def test_prefect_reads_the_databases_settings_as_they_are_given(tmp_path: Path) -> None:
    folder = compose.write_secrets(tmp_path / "secrets", SECRETS)
    server = read(DOCKER / "compose.yaml")["services"]["server"]["environment"]
    settings = {key: str(value).replace("/run/secrets", str(folder)) for key, value in server.items()}
    show = (
        "from prefect.settings import get_current_settings as s; from sqlalchemy.engine import make_url; "
        "u = make_url(s().server.database.connection_url.get_secret_value()); "
        "print([u.drivername, u.username, u.password, u.host, u.port, u.database])"
    )
    run = with_secrets(settings | {"PREFECT_HOME": str(tmp_path)}, sys.executable, "-c", show)
    expected = ["postgresql+asyncpg", "prefect", SECRETS["postgres_password"], "postgres", 5432, "prefect"]
    assert ast.literal_eval(run.stdout.splitlines()[-1]) == expected, run.stderr


def test_a_dollar_for_the_shell_is_written_twice() -> None:
    assert compose.fill("$$A ${B:-b} $${C}", {}) == "$A b ${C}"


def test_whoever_talks_to_the_server_has_its_password() -> None:
    for file in (DOCKER / "compose.yaml", DOCKER / "compose.lite.yaml"):
        for name, service in ours(file).items():
            settings = service.get("environment", {})
            if "PREFECT_API_URL" in settings or name == "serve":
                assert settings["PREFECT_API_AUTH_STRING_FILE"] == "/run/secrets/prefect_auth", name
            if "serve" in name:
                assert settings["PREFECT_SERVER_API_AUTH_STRING_FILE"] == "/run/secrets/prefect_auth", name


@pytest.mark.parametrize("file", [DOCKER / "compose.yaml", DOCKER / "compose.lite.yaml"], ids=lambda file: file.name)
def test_the_viewers_health_check_is_let_in(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It keeps no cookie, so that what a browser does with a token in the address would tell it nothing."""
    viewer = read(file)["services"]["viewer"]
    python, option, code = viewer["healthcheck"]["test"][1:]
    asked: list[urllib.request.Request] = []
    monkeypatch.setattr(urllib.request.OpenerDirector, "open", lambda _, request, timeout: asked.append(request))
    folder = compose.write_secrets(tmp_path / "secrets", SECRETS)
    place = viewer["environment"]["ACTLAS_TOKEN_FILE"].replace("/run/secrets", str(folder))
    monkeypatch.setenv("ACTLAS_TOKEN_FILE", place)
    exec(code, {})  # the file's own line
    rules = serve.rules_of(serve.Options(host="0.0.0.0", token_file=place))
    guarded = TestClient(
        security.SecurityMiddleware(PlainTextResponse("well"), rules, uploads=()), follow_redirects=False
    )
    there = asked[0].full_url
    assert (python, option, guarded.get(there, headers=dict(asked[0].headers)).status_code) == ("python", "-c", 200)
    assert guarded.get(there).status_code == 401
    assert guarded.get(f"{there}?token={SECRETS['actlas_token']}").status_code == 303  # the mutant: a browser's way


# The Dockerfile.


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """The instructions of each stage, the first before any stage."""
    parser = DockerfileParser(str(tmp_path_factory.mktemp("docker")))
    parser.content = (DOCKER / "Dockerfile").read_text()
    found: list[list[dict[str, Any]]] = [[]]
    for instruction in parser.structure:
        if instruction["instruction"] == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def values(stage: list[dict[str, Any]], *instructions: str) -> list[str]:
    return [i["value"] for i in stage if i["instruction"] in instructions]


def test_the_image_has_four_stages_and_is_not_roots(stages: list[list[dict[str, Any]]]) -> None:
    bases = ["${BASE} AS glossary", "${NODE} AS viewer", "${BASE} AS packages", "${BASE}"]
    assert [values(stage, "FROM")[0] for stage in stages[1:]] == bases
    assert values(stages[-1], "USER") == ["10001:10001"]
    last = [i["instruction"] for i in stages[-1] if i["instruction"] != "COMMENT"]
    assert last.index("USER") > max(n for n, name in enumerate(last) if name in ("RUN", "COPY"))
    assert not any(values(stage, "ADD") for stage in stages)


def test_the_image_refuses_an_old_python_and_an_unknown_device(stages: list[list[dict[str, Any]]]) -> None:
    said = " ".join(values(stages[3], "RUN"))
    assert "sys.version_info >= (3, 11, 17)" in said
    assert values(stages[3], "ARG") == ["DEVICE=cpu"]
    assert '"$DEVICE" != cuda' in said


def test_the_viewer_is_built_in_a_stage_of_its_own(stages: list[list[dict[str, Any]]]) -> None:
    assert [run.split()[-2:] for run in values(stages[2], "RUN")] == [["npm", "ci"], ["run", "build"]]
    assert any("--from=glossary" in copy for copy in values(stages[2], "COPY"))
    assert any("--from=viewer" in copy for copy in values(stages[3], "COPY"))


def test_what_is_copied_is_there_and_not_ignored(stages: list[list[dict[str, Any]]]) -> None:
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in lines if line.startswith("!")]
    sources = {
        source
        for stage in stages
        for copy in values(stage, "COPY")
        if "--from" not in copy
        for source in copy.split()[:-1]
    }
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(source == rule or source.startswith(f"{rule}/") for rule in allowed), source
    assert any(fnmatch.fnmatch("flows/viewer/built", line) for line in lines)


def test_variables_that_libraries_write_to_lie_where_writing_is_allowed(stages: list[list[dict[str, Any]]]) -> None:
    settings = dict(pair.split("=", 1) for pair in " ".join(values(stages[-1], "ENV")).split())
    for name in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "TORCH_HOME"):
        assert settings[name].startswith("/tmp/"), name
    assert settings["PREFECT_UI_STATIC_DIRECTORY"].startswith(settings["PREFECT_HOME"])


def test_every_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    assert settings.pop("namespaces") is False
    found = {
        ".".join(init.parent.relative_to(ROOT).parts)
        for package in ("atlas", "storage", "flows")
        for init in (ROOT / package).rglob("__init__.py")
    }
    assert set(find_packages(str(ROOT), **settings)) == found


def test_the_shell_script_is_one() -> None:
    for script in DOCKER.glob("*.sh"):
        subprocess.run(["sh", "-n", str(script)], check=True)
        assert script.stat().st_mode & 0o111, script


def test_prefect_finds_the_docker_sdk_and_not_our_folder() -> None:
    assert not list(DOCKER.glob("*.py"))


def test_the_project_and_the_containers_agree_on_folders() -> None:
    project = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    worker = read(DOCKER / "compose.yaml")["services"]["worker"]
    mounted = {volume.removesuffix(":ro").split(":")[-1] for volume in worker["volumes"]}
    config = project["deployments"][0]["parameters"]["config"]
    assert {config["images"], config["store"]} <= mounted
