"""The examples: what their manifests say, and that their programs do it on a simulated node."""

import subprocess

import pytest
import yaml
from conftest import POD_FILES, PYTHON, SOURCE

EXAMPLES = SOURCE / "manifests/examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/pods.yaml"))
# In the containers of these tests: the image's, and what the manifests mount from a ConfigMap.
PROGRAMS = {"npu-ipc-example": "/usr/local/bin/npu-ipc-example", "python3": PYTHON}


def objects(example):
    return list(yaml.safe_load_all((EXAMPLES / example / "pods.yaml").read_text()))


def pod_templates(example):
    """The metadata and spec of each pod, and of each Deployment's pods."""
    for made in objects(example):
        if made["kind"] == "Pod":
            yield made
        elif made["kind"] == "Deployment":
            assert made["spec"]["selector"]["matchLabels"] == (
                made["spec"]["template"]["metadata"]["labels"]
            )
            yield made["spec"]["template"]


def test_the_readme_lists_every_example():
    readme = (EXAMPLES / "README.md").read_text()
    assert NAMES == sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
    for name in NAMES:
        assert f"[{name}]({name})" in readme
        assert (EXAMPLES / name / "README.md").read_text().startswith("# ")


@pytest.mark.parametrize("example", NAMES)
def test_pods_are_ordinary_and_unprivileged(example):
    for pod in pod_templates(example):
        spec = pod["spec"]
        assert not {"hostPID", "hostIPC", "hostNetwork"} & set(spec)
        assert all("hostPath" not in volume for volume in spec.get("volumes", []))
        (container,) = spec["containers"]
        assert container["image"] == "npu-ipc-examples"
        assert container["resources"]["limits"] == {"huawei.com/Ascend910B": 1}
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]}


@pytest.mark.parametrize("example", NAMES)
def test_an_exporter_and_its_importers_are_of_one_group_on_one_node(example):
    exporter, importer = pod_templates(example)
    assert exporter["metadata"]["annotations"]["npu-ipc.io/group"] == f"{example}:exporter"
    assert importer["metadata"]["annotations"]["npu-ipc.io/group"] == f"{example}:importer"
    required = importer["spec"]["affinity"]["podAffinity"]
    (term,) = required["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"] == exporter["metadata"]["labels"]


@pytest.mark.parametrize("example", NAMES)
def test_what_is_mounted_is_generated_from_a_file_that_is_there(example):
    folder = EXAMPLES / example
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert kustomization["resources"] == ["pods.yaml"]
    generated = {
        config["name"]: config["files"] for config in kustomization.get("configMapGenerator", [])
    }
    for pod in pod_templates(example):
        mounted = {volume["configMap"]["name"] for volume in pod["spec"].get("volumes", [])}
        assert mounted == set(generated)
    for files in generated.values():
        assert all((folder / file).is_file() for file in files)


def test_scripts_are_typed():
    scripts = sorted(EXAMPLES.glob("*/*.py"))
    checked = subprocess.run(
        [PYTHON, "-m", "mypy", "--strict", "--python-version=3.8", "--cache-dir=/dev/null"]
        + scripts,
        cwd=SOURCE / "runtime/python",
        stdout=subprocess.PIPE,
        universal_newlines=True,
    )
    assert checked.returncode == 0 and "3 source files" in checked.stdout, checked.stdout


# Runs its arguments, and asks them to end, as a kubelet does, when it is told a line.
TERMINABLE = ["/bin/sh", "-c", '"$@" & read line; kill -TERM $! 2>/dev/null; wait $!', "sh"]


@pytest.fixture
def start(pods):
    """Starts a pod of an example, with its own command, environment and annotations."""

    def start(example, pod, name, wrapper=()):
        (container,) = pod["spec"]["containers"]
        command = container["command"]
        mounts = {
            m["mountPath"]: f"{POD_FILES}/examples/{example}"
            for m in container.get("volumeMounts", [])
        }
        for mounted, there in mounts.items():
            command = [part.replace(mounted, there) for part in command]
        return pods.container(
            name,
            [*wrapper, PROGRAMS[command[0]], *command[1:]],
            pod["metadata"]["annotations"],
            {variable["name"]: variable["value"] for variable in container.get("env", [])},
        )

    return start


def test_explicit_c(start):
    exporter, importer = pod_templates("explicit-c")
    exporter = start("explicit-c", exporter, "exporter")
    importer = start("explicit-c", importer, "importer")
    assert importer.hear_all()[-3:] == ["wrote bytes=67108864", "asked to detach", "detached"]
    assert exporter.hear_all()[-2:] == ["verified bytes=67108864", "withdrawn"]


def test_explicit_python(start):
    exporter, importer = pod_templates("explicit-python")
    importer = start("explicit-python", importer, "importer")  # which waits for it
    exporter = start("explicit-python", exporter, "exporter")
    assert importer.hear_all() == [
        f"attached bytes=67108864 device=0 exporter={exporter.name} exporter_device=1",
        "answered",
        "detached",
    ]
    assert exporter.hear_all() == ["published name=weights device=1", "answered", "withdrawn"]


def test_one_exporter_to_many(start):
    exporting, importing = pod_templates("one-exporter-to-many")

    def run(pod, name):
        return start("one-exporter-to-many", pod, name, TERMINABLE)

    early = run(importing, "early")
    exporter = run(exporting, "exporter")
    assert exporter.hear() == "serving 4 layers"
    late = [run(importing, f"late-{n}") for n in range(2)]
    for importer in [early, *late]:
        assert importer.hear() == "using 4 layers"

    late[0].tell("end")  # one that goes is no concern of the others
    assert late[0].hear_all() == ["let go of all layers"]
    exporter.tell("end")
    for importer in [early, late[1]]:
        assert importer.hear() == "let go of all layers"
        importer.tell("it has")
        assert importer.hear_all() == []
    assert exporter.hear_all() == ["all layers are back"]


def test_the_broker_accepts_the_annotations_of_the_unmodified_program(pods):
    for pod in pod_templates("unmodified-program"):
        annotations = pod["metadata"]["annotations"].items()
        member = pods.stranger(
            pod["metadata"]["name"], **{name.split("/")[1]: text for name, text in annotations}
        )
        assert "unmodified-program" in member.run("npu_ipc.whoami().groups")
