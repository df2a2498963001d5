"""What manifests/ installs: accepted by the API server, enough for the operator, and right for users."""

import pytest
import yaml

from tests.integration.audit import Audit
from tests.integration.house import House
from tests.integration.kubelet import kubelet
from tests.integration.operator_process import DEPLOYMENTS, EVENTS, MODELS, ROOT, model, wait_for

OVERLAYS = ROOT / "manifests" / "overlays"


@pytest.fixture
def confined(kubectl, namespace, tmp_path):
    """The account of manifests/overlays/namespaced, put into the test's namespace; there is no ClusterRole."""
    rendered = kubectl("kustomize", str(OVERLAYS / "namespaced"))
    documents = [item for item in yaml.safe_load_all(rendered) if item["kind"] != "Deployment"]
    assert {item["kind"] for item in documents} == {"ServiceAccount", "Role", "RoleBinding"}
    for item in documents:
        item["metadata"]["namespace"] = namespace
        for subject in item.get("subjects", []):
            subject["namespace"] = namespace
    bundle = tmp_path / "bundle.yaml"
    bundle.write_text(yaml.safe_dump_all(documents))
    kubectl("apply", "-f", str(bundle))
    return f"system:serviceaccount:{namespace}:catfish-operator"


def test_a_role_alone_is_enough_for_one_namespace(start, plane, api, namespace, confined):
    other = f"{namespace}-other"
    api.create("/api/v1/namespaces", {"metadata": {"name": other}})
    audit = Audit(plane.audit_log, user=confined)
    start(CATFISH_LEASE_NAMESPACE=namespace, CATFISH_NAMESPACE=namespace, user=confined).wait_ready()
    with kubelet(api, namespace) as nodes:
        api.create(MODELS.format(other), model())
        house = House(api, namespace, nodes)
        house.create(model(replicas=2))
        house.settle()
        wait_for(lambda: house.api.items(house.path(EVENTS)), what="an Event")
    assert audit.forbidden() == []
    assert {entry["objectRef"].get("namespace") for entry in audit.entries()} == {namespace}
    assert api.get(f"{DEPLOYMENTS.format(other)}/cat") is None
    unseen = {"observedGeneration": -1}  # the default of the CRD
    assert api.get(f"{MODELS.format(other)}/cat")["status"] == unseen
    api.delete(f"/api/v1/namespaces/{other}")


def test_the_namespaced_overlay_confines_the_operator_to_its_own_namespace(kubectl):
    (deployment,) = [
        item
        for item in yaml.safe_load_all(kubectl("kustomize", str(OVERLAYS / "namespaced")))
        if item["kind"] == "Deployment"
    ]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    own = {"fieldRef": {"fieldPath": "metadata.namespace"}}
    by_name = {item["name"]: item.get("valueFrom") for item in container["env"]}
    assert (by_name["CATFISH_NAMESPACE"], by_name["CATFISH_LEASE_NAMESPACE"]) == (own, own)


@pytest.mark.parametrize("overlay", ["base", "overlays/ha", "overlays/namespaced"])
def test_what_is_installed_is_accepted_by_the_api_server(kubectl, plane, overlay, tmp_path):  # noqa: ARG001 - it runs meanwhile
    for name in ("catfish", "catfish-system"):
        kubectl("create", "namespace", name, check=False)
    bundle = tmp_path / "bundle.yaml"
    bundle.write_text(kubectl("kustomize", str(ROOT / "manifests" / overlay)))
    kubectl("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", str(bundle))


USERS = (
    ("view", {"get": True, "create": False, "delete": False}),
    ("edit", {"get": True, "create": True, "delete": True}),
    ("admin", {"get": True, "create": True, "delete": True}),
)


@pytest.mark.parametrize(("role", "verbs"), USERS)
def test_the_clusters_own_roles_hold_the_rights_to_models(api, kubectl, namespace, role, verbs):  # noqa: ARG001 - the rights must be there first
    user = f"{role}-of-{namespace}"
    kubectl("-n", namespace, "create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}")

    def may(verb, *more):
        command = ("auth", "can-i", verb, "catfishmodels.catfish.dev", "-n", namespace, f"--as={user}", *more)
        return kubectl(*command, check=False).strip() == "yes"

    wait_for(lambda: may("get"), what="the aggregation of the roles")
    assert {verb: may(verb) for verb in verbs} == verbs
    assert may("patch", "--subresource=scale") == verbs["create"]
    assert not may("patch", "--subresource=status")
