"""Checks the manifest of docs/batch.md: by the schemas of Kubernetes, by kubectl, and what its parts must say to each other.

Usage: check.py [FILE]. The packages `kubernetes-validate`, which brings the schemas, and `PyYAML` are needed; see run.sh.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import yaml

# The version that the page names, and the newest.
VERSIONS = ("1.29", kubernetes_validate.latest_version())


class Refused(Exception):
    """A manifest that a check refuses."""


def manifest(page: str) -> str:
    """The YAML block of the page that begins with apiVersion."""
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.S) if block.startswith("apiVersion:")]
    if len(blocks) != 1:
        sys.exit(f"{len(blocks)} manifests on the page; expected one")
    return blocks[0]


def check_schema(text: str) -> None:
    """Names, types and required fields, strictly: an unknown field is an error."""
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(yaml.safe_load(text), version, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise Refused(f"schema of {version}: {error}") from error


def missing(wanted: object, found: object, place: str = "") -> list[str]:
    """Places of what `wanted` says and `found` does not."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [p for key, value in wanted.items() for p in missing(value, found.get(key), f"{place}.{key}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [p for i, (a, b) in enumerate(zip(wanted, found)) for p in missing(a, b, f"{place}[{i}]")]
    return [] if wanted == found else [place]


def check_kubectl(text: str) -> None:
    """kubectl's own types: what it reads without a cluster must be all that the manifest says (it drops unknown fields)."""
    # `create --dry-run=client` asks a cluster; changes of a local file go through the same types and don't.
    command = ["kubectl", "set", "serviceaccount", "--local", "--dry-run=client", "-f", "-", "default", "-o", "json"]
    result = subprocess.run(command, input=text, capture_output=True, text=True)
    if result.returncode != 0:
        raise Refused(f"kubectl: {result.stderr.strip()}")
    lost = missing(yaml.safe_load(text), json.loads(result.stdout))
    if lost:
        raise Refused(f"kubectl does not know {', '.join(lost)}")


def check_sense(document: dict) -> None:
    """What no schema says."""
    spec = document["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    volumes = {volume["name"] for volume in pod["volumes"]}
    processors = container["resources"]["limits"]["cpu"]
    facts = {
        "an indexed job, so that pods know their number": spec["completionMode"] == "Indexed",
        "JOB_COMPLETIONS is the number of completions": variables["JOB_COMPLETIONS"] == str(spec["completions"]),
        "as many threads as processors": variables["RAYON_NUM_THREADS"] == processors,
        "a limit of retries an index wants restartPolicy Never": pod["restartPolicy"] == "Never",
        "every index may fail": spec["maxFailedIndexes"] == spec["completions"],
        "no more pods at a time than in all": spec["parallelism"] <= spec["completions"],
        "mounts have volumes": all(mount["name"] in volumes for mount in container["volumeMounts"]),
        "the output is below a mount that can be written to": any(
            argument.startswith(f"--output={mount['mountPath']}/") and not mount.get("readOnly", False)
            for argument in container["args"]
            for mount in container["volumeMounts"]
        ),
    }
    wrong = [fact for fact, holds in facts.items() if not holds]
    if wrong:
        sys.exit("not so: " + "; ".join(wrong))
    print(f"{len(facts)} facts: ok")


def main() -> None:
    here = Path(__file__).resolve().parent
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else here / "../../docs/batch.md"
    text = manifest(page.read_text())
    checks = {f"schemas of {' and '.join(VERSIONS)}": check_schema}
    if shutil.which("kubectl"):
        checks["kubectl"] = check_kubectl
    for name, check in checks.items():
        try:
            check(text)
        except Refused as reason:
            sys.exit(f"{page}: {reason}")
        # What must not pass, or the check checks nothing.
        for old, new in [("parallelism:", "parallel:"), ("completions: 100", 'completions: "many"')]:
            if old not in text:
                sys.exit(f"{page}: {old} is not in it any more")
            try:
                check(text.replace(old, new))
            except Refused:
                continue
            sys.exit(f"{name} accepts {new}")
        print(f"{name}: ok; misspelt fields and wrong types are refused")
    check_sense(yaml.safe_load(text))


main()
