"""The plugin's only API calls: reads a model and its revisions, patches the model. API errors become ours here.

It uses what the reader's kubeconfig gives it and no right beyond the cluster's roles `view` (to read) and `edit`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3.exceptions
import yaml
from kubernetes import client, config
from kubernetes.config import kube_config

from catfish_operator import errors
from catfish_operator.model import API_VERSION, GROUP, PLURAL, Json
from catfish_operator.plugin.problems import NotConfigured, NotPossible
from catfish_operator.reasons import presentable

FIELD_MANAGER = "kubectl-catfish"
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


class Api:
    """One namespace of a cluster."""

    def __init__(self, connection: client.ApiClient, *, namespace: str) -> None:
        self.namespace = namespace
        self._connection = connection

    def model(self, name: str) -> Json:
        """Reads a model from the store itself, not from a cache."""
        return self._call("GET", self._path(name), name=name)

    def revisions(self, name: str) -> list[Json]:
        """Lists the ControllerRevisions that carry the model's label."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/controllerrevisions"
        query = {"labelSelector": f"{GROUP}/model={name}"}
        items: list[Json] = self._call("GET", path, query=query, name=name)["items"]
        return items

    def patch(self, name: str, change: Json | list[Json]) -> Json:
        """Changes a model: a list is a JSON patch, an object a merge patch.

        Raises:
            Stale: a test of the JSON patch failed.
        """
        kind = JSON_PATCH if isinstance(change, list) else MERGE_PATCH
        query = {"fieldManager": FIELD_MANAGER}
        return self._call("PATCH", self._path(name), query=query, body=change, content_type=kind, name=name)

    def _path(self, name: str) -> str:
        return f"/apis/{API_VERSION}/namespaces/{self.namespace}/{PLURAL}/{name}"

    def _call(
        self,
        method: str,
        path: str,
        *,
        name: str,
        query: dict[str, str] | None = None,
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        host = self._connection.configuration.host
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            request = self._connection.param_serialize(
                method, path, query_params=list((query or {}).items()), header_params=headers, body=body,
                auth_settings=["BearerToken"],
            )  # fmt: skip
            response = self._connection.call_api(*request, _request_timeout=(CONNECT_SECONDS, ANSWER_SECONDS))
            text = response.read()  # type: ignore[no-untyped-call]  # its gap
        except (urllib3.exceptions.HTTPError, client.ApiException, OSError) as error:
            raise errors.Unreachable(f"{host} does not answer: {_cause(error)}") from error
        answer = _parse(text)
        if 200 <= response.status < 300 and answer is not None:
            return answer
        where = f"{name} in namespace {self.namespace}"
        raise error_of(response.status, answer or {}, where=where)


def _cause(error: Exception) -> str:
    """The reason at the bottom of the client's exceptions, without the addresses of its objects."""
    text = str(getattr(error, "reason", None) or error)
    return presentable(text.rpartition("): ")[2]) or type(error).__name__


def _parse(text: bytes) -> Json | None:
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def error_of(status: int, answer: Json, *, where: str) -> errors.CatfishError:
    """The error of ours for an answer that is no success.

    Args:
        status: of the HTTP answer.
        answer: the API server's Status object; empty when it sent something else.
        where: the model that was asked for, for the text.
    """
    message = presentable(str(answer.get("message") or f"HTTP status {status}"))
    match status:
        case 404 if (answer.get("details") or {}).get("name"):
            return NotPossible(f"there is no CatfishModel {where}")
        case 404:
            return errors.NotServed(
                f"the cluster does not know CatfishModel: is the CRD installed? ({message})"
            )
        case 401:
            return errors.NotAllowed("the cluster does not accept the credentials of the kubeconfig")
        case 403:
            return errors.NotAllowed(f"forbidden: {message}")
        case 400 | 409 | 422:
            return _refused(status, message, where=where)
    return errors.Unreachable(f"the API server says: {message}")


def _refused(status: int, message: str, *, where: str) -> errors.CatfishError:
    if status == 409 or "testing value" in message or "error in our request" in message:
        return errors.Stale(f"somebody has changed {where} meanwhile; nothing was written")
    return errors.Refused(reason="AdmissionDenied", message=f"the API server refuses it: {message}")


MALFORMED = (TypeError, KeyError, AttributeError)
"""What the client raises for a kubeconfig that is YAML of another shape than it expects."""


@contextmanager
def connect(*, kubeconfig: str | None, context: str | None, namespace: str | None) -> Iterator[Api]:
    """Opens the cluster that the kubeconfig means; None: as kubectl would choose. Nothing is sent yet.

    Raises:
        NotConfigured: the kubeconfig does not say which cluster is meant, or as whom.
    """
    configuration = client.Configuration()
    configuration.retries = False
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]  # its gap
            config_file=kubeconfig,
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
        chosen = namespace or _namespace(kubeconfig, context) or "default"
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, *MALFORMED) as error:
        said = presentable(f"kubeconfig: {error}")
        raise NotConfigured(f"{said} (--kubeconfig or $KUBECONFIG says which file)") from error
    with client.ApiClient(configuration) as connection:
        connection.user_agent = FIELD_MANAGER
        yield Api(connection, namespace=chosen)


def _namespace(kubeconfig: str | None, context: str | None) -> str | None:
    """The namespace of the context that is used."""
    location = kubeconfig or kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    merged: Any = kube_config.KubeConfigMerger(location).config  # type: ignore[no-untyped-call]  # its gap
    used = merged["contexts"].get_with_name(context or merged["current-context"])["context"]
    return used.safe_get("namespace")  # type: ignore[no-any-return]  # a string by the file's own format
