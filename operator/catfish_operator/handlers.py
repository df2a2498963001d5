"""The event source: kopf's watches, nothing else of kopf. An event becomes a key on the queue.

kopf runs in a thread and an event loop of its own. It cancels every task that was made after it had started
when it ends, takes over the process's signals, and plans the process's death ten minutes after its end (all
in `kopf._core.reactor.running`): none of that may reach the workers. It ends whenever something unforeseen
comes in a stream (401, 404, an error object), so it is started again for as long as the operator lives.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import kopf

from catfish_operator import errors
from catfish_operator.cluster import CHILDREN, MODEL_LABEL, Cluster, Kind
from catfish_operator.connection import in_cluster, in_cluster_server
from catfish_operator.model import Json

log = logging.getLogger(__name__)

Observer = Callable[[Kind, str | None, Json], None]
"""What is called with each event: the kind, the type (None: from a listing), the object."""

RESTART_SECONDS = (0.5, 10.0)  # pause before kopf is started again, doubled while it keeps ending at once
LIVED_SECONDS = 60.0  # a source that lived that long was a good one
STOP_SECONDS = 5.0  # kopf writes nothing, so one that takes longer to stop may be left behind
LONGEST_BACKOFF = 15.0
IDENTITY = "catfish-operator"  # else kopf looks for the name of the user, and a container's may have none
SERVED_EVERY = 2.0  # seconds between two looks for a kind that is not served yet


class EndlessBackoff:
    """Seconds between kopf's tries of one request; its default gives up after 54 s and ends all."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay * random.uniform(0.75, 1)  # noqa: S311 - jitter, not a secret
            delay = min(LONGEST_BACKOFF, delay * 2)


def settings() -> kopf.OperatorSettings:
    """How kopf is set: it only watches, for ever, and writes nothing anywhere."""
    chosen = kopf.OperatorSettings()
    chosen.networking.error_backoffs = EndlessBackoff()
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 5
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 310
    chosen.watching.connect_timeout = 5
    chosen.watching.inactivity_timeout = 70
    chosen.watching.chunk_size = 500
    for kind in CHILDREN:
        chosen.watching.label_selectors[kind.plural] = MODEL_LABEL
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.peering.standalone = True
    chosen.queueing.idle_timeout = 1.0
    chosen.queueing.exit_timeout = 1.0
    chosen.process.ultimate_exiting_timeout = None  # else it kills our process ten minutes after it has ended
    return chosen


def registry(kinds: Iterable[Kind], observe: Observer) -> kopf.OperatorRegistry:
    """The handlers: one for each kind, and the login.

    Args:
        kinds: what is watched.
        observe: called in kopf's thread; must not raise.
    """
    handlers = kopf.OperatorRegistry()

    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401 - kopf's own
        """Reads the service account anew at each login (it is rotated), outside the kubeconfig."""
        if not in_cluster(os.environ):
            return kopf.login_with_kubeconfig(**kwargs)
        account = kopf.login_with_service_account(**kwargs)
        # kopf asks the cluster's DNS for the API server; the kubelet's word for it needs no DNS
        return account and dataclasses.replace(account, server=in_cluster_server(os.environ))

    kopf.on.login(registry=handlers)(login)
    for kind in kinds:
        kopf.on.event(*_selector(kind), id=kind.plural, registry=handlers)(_handler(kind, observe))
    return handlers


def _selector(kind: Kind) -> tuple[str, str, str]:
    group, _, version = kind.api_version.rpartition("/")
    return group, version, kind.plural


def _handler(kind: Kind, observe: Observer) -> Callable[..., Any]:
    async def handle(event: Any, **_: Any) -> None:  # noqa: ANN401 - kopf's own
        observe(kind, event["type"], event["object"])

    return handle


class EventSource:
    """Keeps kopf running for some kinds; `run` is one of the operator's tasks.

    An optional kind has a source of its own: kopf looks for kinds only when it starts, and ends with all its watches
    when one kind goes, so that others would lose events whenever the optional one comes or goes.
    """

    def __init__(
        self,
        *,
        kinds: tuple[Kind, ...],
        cluster: Cluster,
        observe: Observer,
        namespace: str,
        started: Callable[[], None],
    ) -> None:
        """Prepares the source.

        Args:
            kinds: what is watched, from when the first of them is served. An optional one is not even looked for
            before `found`.
            cluster: asked whether it is.
            observe: called in the loop of `run` with every event.
            namespace: the only one to watch; empty: all.
            started: called at each start.
        """
        self._kinds = kinds
        self._cluster = cluster
        self._observe = observe
        self._namespace = namespace
        self._started = started
        self._wanted = asyncio.Event()
        self._thread: _KopfThread | None = None
        if not kinds[0].optional:
            self._wanted.set()

    def found(self, *, served: bool) -> None:
        """Begins or ends the watch of an optional kind: a listing has found that it is served, or is not."""
        if served:
            self._wanted.set()
            return
        self._wanted.clear()
        if self._thread is not None:
            self._thread.stop()  # the watch ends by itself, unless kopf had come too late to find the kind

    async def run(self) -> None:
        """Watches for ever. A kind that is not served is waited for: kopf would never notice it appear."""
        loop = asyncio.get_running_loop()
        plurals = ", ".join(kind.plural for kind in self._kinds)
        pause, told = RESTART_SECONDS[0], ""
        while True:
            await self._wait_until_served()
            self._started()
            begun = loop.time()
            how = await self._run_once()
            pause = RESTART_SECONDS[0] if loop.time() - begun > LIVED_SECONDS else pause
            # Once for each new cause: without watches, changes are seen only by the resync.
            level = logging.DEBUG if how == told else logging.WARNING
            log.log(
                level,
                "the watches of %s ended (%s); beginning again in %.1f s if served",
                plurals,
                how,
                pause,
            )
            told = how
            await asyncio.sleep(pause)
            pause = min(RESTART_SECONDS[1], pause * 2)

    async def _wait_until_served(self) -> None:
        while True:
            await self._wanted.wait()
            with contextlib.suppress(errors.CatfishError):
                if await self._cluster.served(self._kinds[0]):
                    return
            await asyncio.sleep(SERVED_EVERY)

    async def _run_once(self) -> str:
        """Runs kopf until it ends by itself; returns how it did. Stops it when cancelled."""
        ours = asyncio.get_running_loop()
        ended: asyncio.Future[str] = ours.create_future()
        thread = self._thread = _KopfThread(
            registry=registry(self._kinds, lambda *event: _call(ours, self._observe, *event)),
            namespace=self._namespace,
            ended=lambda how: _call(ours, _resolve, ended, how),
        )
        thread.start()
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            thread.stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await ended
            raise


class _KopfThread(threading.Thread):
    """One life of kopf, in an event loop that dies with it."""

    def __init__(
        self, *, registry: kopf.OperatorRegistry, namespace: str, ended: Callable[[str], None]
    ) -> None:
        super().__init__(name="kopf", daemon=True)
        self._registry = registry
        self._namespace = namespace
        self._ended = ended
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flag: asyncio.Event | None = None
        self._stopped = False

    def run(self) -> None:
        """Runs kopf; whatever it raises is only how it ended."""
        try:
            asyncio.run(self._watch())
        except Exception as error:  # noqa: BLE001 - kopf may end in any way, and is started again
            self._ended(f"{type(error).__name__}: {error}")
        else:
            self._ended("no error")

    def stop(self) -> None:
        """Asks kopf to end; may be called from any thread, at any time."""
        with self._lock:
            self._stopped = True
            if self._loop and self._flag:
                _call(self._loop, self._flag.set)

    async def _watch(self) -> None:
        with self._lock:
            self._loop, self._flag = asyncio.get_running_loop(), asyncio.Event()
            if self._stopped:
                return
        await kopf.operator(
            registry=self._registry,
            settings=settings(),
            standalone=True,
            clusterwide=not self._namespace,
            namespaces=[self._namespace] if self._namespace else [],
            stop_flag=self._flag,
            identity=IDENTITY,  # type: ignore[arg-type]  # a NewType of str that kopf does not export
        )


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    """Calls a function in another thread's loop; a loop that is closed already has nobody left to hear it."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)


def _resolve(future: asyncio.Future[str], how: str) -> None:
    if not future.done():
        future.set_result(how)
