"""One HTTP call to the API server and what its answer means. Used by `cluster` alone.

The connection carries credentials that are read anew (a service account's token is rotated), gives every call
a deadline, and repeats none: the queue does that.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
import yaml
from kubernetes.aio import client, config

from catfish_operator import errors
from catfish_operator.model import Json
from catfish_operator.reasons import presentable

CONNECT_SECONDS = 5.0
USER_AGENT = "catfish-operator"  # followed by the replica, so that an audit log tells them apart


class Connection:
    """The API of one cluster, over a pool of connections of `kubernetes.aio`."""

    def __init__(
        self, api: client.ApiClient, *, request_seconds: float, count: Callable[[str, int], None]
    ) -> None:
        self._api = api
        self._count = count
        self._request_seconds = request_seconds

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
        within: float | None = None,
    ) -> Json:
        """Calls the API once.

        Args:
            method: the HTTP method.
            path: below the server's address.
            query: unquoted.
            body: sent as JSON.
            content_type: of the body.
            within: seconds after which nothing of the call may be sent any more, if less than the usual limit.
            They are counted by a clock that goes on while the process is stopped.

        Raises:
            CatfishError: the one that says who must act; see `error_of`.
        """
        what = f"{method} {path}"
        seconds = self._request_seconds if within is None else min(self._request_seconds, within)
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            request = await self._api.param_serialize(
                method, path, query_params=list((query or {}).items()), header_params=headers, body=body,
                auth_settings=["BearerToken"],
            )  # fmt: skip
            response = await self._api.call_api(*request, _request_timeout=timeout)
            text = (await response.read()).decode(errors="replace")  # type: ignore[no-untyped-call]  # its gap
        except TimeoutError as error:
            self._count(method, 0)
            raise errors.Unreachable(f"{what}: no answer in {seconds:.3g} s") from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, config.ConfigException) as error:
            self._count(method, 0)
            raise errors.Unreachable(f"{what}: {error or type(error).__name__}") from error
        self._count(method, response.status)
        answer = _parse(what, text, status=response.status)
        if 200 <= response.status < 300:
            return answer
        raise error_of(what, status=response.status, answer=answer)


def _parse(what: str, text: str, *, status: int) -> Json:
    try:
        answer = json.loads(text)
    except ValueError as error:
        if status < 300:
            raise errors.Unreachable(f"{what}: the answer is not JSON") from error
        answer = text[:300]
    return answer if isinstance(answer, dict) else {"message": text[:300]}


def error_of(what: str, *, status: int, answer: Json) -> errors.CatfishError:
    """The error of ours for an answer of the API server: it says who must act."""
    message = presentable(str(answer.get("message") or answer.get("reason") or ""))  # it may quote the object
    text = f"{what}: {status} {message}"
    causes = [cause.get("reason") for cause in (answer.get("details") or {}).get("causes") or []]
    if status == 404:
        return errors.NotServed(text)
    if status == 410 or "NamespaceTerminating" in causes:
        return errors.Unreachable(text)  # a listing that outlived its snapshot; a namespace on its way out
    if status == 401 or (status == 403 and "is forbidden: User " in message and " cannot " in message):
        return errors.NotAllowed(text)
    if status == 409 or (status == 422 and ("testing value" in message or "error in our request" in message)):
        return errors.Stale(text)
    if status in {400, 403, 413, 415, 422}:
        reason = "QuotaExceeded" if "exceeded quota" in message else "AdmissionDenied"
        return errors.Refused(reason=reason, message=message)
    return errors.Unreachable(text)


async def _load_kubeconfig(configuration: client.Configuration) -> None:
    """Reads the kubeconfig that kubectl would read.

    Raises:
        BadSettings: it is none.
    """
    try:
        await config.load_kube_config(  # type: ignore[no-untyped-call]  # its gap
            client_configuration=configuration, persist_config=False
        )
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        said = presentable(str(error)) or type(error).__name__
        raise errors.BadSettings(f"KUBECONFIG: this is no kubeconfig: {said}") from error


@asynccontextmanager
async def connect(
    environ: Mapping[str, str],
    *,
    identity: str,
    request_seconds: float,
    connections: int,
    count: Callable[[str, int], None],
) -> AsyncIterator[Connection]:
    """Opens the API of the cluster we run in or, outside, of the kubeconfig. Nothing is sent yet."""
    configuration = client.Configuration()
    configuration.connection_pool_maxsize = connections
    configuration.retries = None  # the queue retries, with a back-off that is ours
    if in_cluster(environ):
        # its hook reads the token's file again once a minute; a kubelet rotates a token long before its end
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # its gap
    else:
        await _load_kubeconfig(configuration)
    async with client.ApiClient(configuration) as api:
        api.user_agent = f"{USER_AGENT}/{identity}"
        yield Connection(api, request_seconds=request_seconds, count=count)


def in_cluster(environ: Mapping[str, str]) -> bool:
    """Says whether this process runs in a pod; a KUBECONFIG outranks that."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST")) and not environ.get("KUBECONFIG")


def in_cluster_server(environ: Mapping[str, str]) -> str:
    """The API server's address as the kubelet gave it to this pod."""
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
