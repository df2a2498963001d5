"""What the other tests of this folder rely on: the control plane is a real one, with real permissions."""

from localcluster.controlplane import ControlPlane

from .conftest import audit_events, eventually


def test_controllers_make_pods_of_a_deployment(plane: ControlPlane, namespace: str) -> None:
    plane.kubectl("create", "deployment", "web", "--image=none", "--replicas=2", "-n", namespace)
    eventually(lambda: len(plane.kubectl("get", "pods", "-n", namespace, "-o", "name").split()) == 2)


def test_a_user_without_a_role_may_do_nothing(plane: ControlPlane, namespace: str) -> None:
    stranger = plane.kubeconfig_for("stranger")
    said = plane.kubectl("get", "pods", "-n", namespace, f"--kubeconfig={stranger}", check=False)
    allowed = plane.kubectl("auth", "can-i", "get", "pods", "--as=stranger", "-n", namespace, check=False)
    assert (said, allowed.strip()) == ("", "no")


def test_the_audit_log_names_who_wrote_and_what_a_delete_asked_for(
    plane: ControlPlane, namespace: str
) -> None:
    plane.kubectl("create", "configmap", "note", "-n", namespace)
    plane.kubectl("delete", "configmap", "note", "-n", namespace)

    def written() -> list[tuple[str, str, bool]]:
        return [
            (event["verb"], event["user"]["username"], "requestObject" in event)
            for event in audit_events(plane)
            if event.get("objectRef", {}).get("name") == "note" and event["verb"] in {"create", "delete"}
        ]

    assert eventually(lambda: written() if len(written()) == 2 else None) == [
        ("create", "catfish-admin", False),
        ("delete", "catfish-admin", True),
    ]


def test_an_apiserver_that_was_away_comes_back_with_its_data(plane: ControlPlane, namespace: str) -> None:
    plane.kubectl("create", "configmap", "kept", "-n", namespace)
    plane.stop_apiserver()
    assert not plane.ready()
    plane.start_apiserver()
    plane.wake()  # the tests that follow need its controllers
    assert plane.kubectl("get", "configmap", "kept", "-n", namespace, "-o", "name") == "configmap/kept\n"
