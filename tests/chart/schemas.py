"""JSON schemas of what the API server takes, for kubeconform. Those that it would fetch from the network are made here from what
comes with the Go modules of Kubernetes and of the Prometheus operator: the published API, and the definitions of its resources."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import yaml

from rendering import ROOT, built

# The oldest and the newest release of Kubernetes that the tests' cluster runs programs of, as folders with a go.mod.
_KUBERNETES = ("tests/e2e/kubernetes-1.34", "tests/e2e/kubernetes-1.36")
_OPERATOR = "tests/go/prometheus-operator"
_OPERATOR_MODULE = "github.com/prometheus-operator/prometheus-operator"
_INT_OR_STRING = {"oneOf": [{"type": "integer"}, {"type": "string"}]}
# Of which the API server takes more than the published type says.
_WIDER = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _INT_OR_STRING,
}
# For kubeconform's -schema-location, below the folder.
LOCATIONS = ("{{.NormalizedKubernetesVersion}}/{{.ResourceKind}}{{.KindSuffix}}.json",
             "prometheus-operator/{{.ResourceKind}}{{.KindSuffix}}.json")


def _module(folder, name):
    """The version of a Go module that the go.mod of a folder names, and where it is."""
    go = built("tests/go/toolchain")
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    listed = subprocess.run([go, "list", "-m", "-f", "{{.Version}}", name], cwd=ROOT / folder, env=environment, check=True,
                            stdout=subprocess.PIPE, text=True).stdout.strip()
    done = subprocess.run([go, "mod", "download", "-json", f"{name}@{listed}"], cwd=ROOT / folder, env=environment, check=True,
                          stdout=subprocess.PIPE, text=True)
    return listed, pathlib.Path(json.loads(done.stdout)["Dir"])


def _strict(schema):
    """The same where what is not named is refused, as `kubectl --validate=strict` does. Without descriptions: they are most of it."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return _INT_OR_STRING
    made = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {name: _strict(each) for name, each in value.items()}
        elif key != "description":
            made[key] = _strict(value)
    if "properties" in made and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def _references(schema):
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix("#/definitions/")
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def _with_what_it_refers_to(name, definitions):
    needed = {}
    missing = [name]
    while missing:
        each = missing.pop()
        if each not in needed:
            needed[each] = definitions[each]
            missing.extend(_references(definitions[each]))
    return {**needed.pop(name), "definitions": needed}


def _file_name(group, version, kind):
    """As kubeconform's KindSuffix has it."""
    parts = [kind.lower(), *([group.split(".")[0]] if group else []), version]
    return "-".join(parts) + ".json"


def _write_kubernetes(module, folder):
    folder.mkdir()
    api = json.loads((module / "api/openapi-spec/swagger.json").read_text())["definitions"]
    definitions = {**{name: _strict(each) for name, each in api.items()}, **_WIDER}
    for name, definition in api.items():
        kinds = definition.get("x-kubernetes-group-version-kind", [])
        if len(kinds) == 1 and "metadata" in definition.get("properties", {}):  # of more: DeleteOptions and the like
            path = folder / _file_name(**kinds[0])
            path.write_text(json.dumps(_with_what_it_refers_to(name, definitions)))


def _write_operator(module, folder):
    folder.mkdir()
    metadata = {"type": "object"}
    for resource in ("prometheusrules", "servicemonitors"):
        path = module / f"example/prometheus-operator-crd/monitoring.coreos.com_{resource}.yaml"
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = metadata
            (folder / _file_name(spec["group"], version["name"], spec["names"]["kind"])).write_text(json.dumps(schema))


def schemas():
    """The folder that has them, made once; and the versions of Kubernetes in it."""
    kubernetes = [_module(folder, "k8s.io/kubernetes") for folder in _KUBERNETES]
    operator_version, operator = _module(_OPERATOR, _OPERATOR_MODULE)
    versions = [version.removeprefix("v") for version, _ in kubernetes]
    key = hashlib.sha256(f"{versions} {operator_version} {pathlib.Path(__file__).read_text()}".encode()).hexdigest()[:16]
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "npu-ipc"
    folder = cache / f"schemas-{key}"
    if not folder.exists():
        for old in cache.glob("schemas-*"):
            shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="schemas.") as fresh:
            made = pathlib.Path(fresh) / "made"
            made.mkdir()
            for version, module in kubernetes:
                _write_kubernetes(module, made / version)
            _write_operator(operator, made / "prometheus-operator")
            try:
                made.rename(folder)
            except OSError:  # somebody else was faster
                if not folder.exists():
                    raise
    return folder, versions
