"""An API server with one kind, as far as kopf talks to it: discovery, listings, watches, merge patches.

It answers truly until a test has it answer otherwise: `refuse` for requests, `say` for what a watch tells.
"""

import asyncio
import contextlib
import itertools
import json
import threading
from contextlib import asynccontextmanager

import kopf
from aiohttp import web
from kopf._cogs.structs import credentials

from catfish_operator import handlers
from catfish_operator.cluster import MODEL

KIND = ("catfish.dev", "v1alpha1", "catfishmodels")
ROOT = "/apis/catfish.dev/v1alpha1"
SECONDS = 20.0


class KopfApi:
    """The objects, and what was asked."""

    def __init__(self):
        self.items, self.asked, self.patches = {}, [], []
        self.refuse = lambda _what, _name, _body: None  # or a response instead of the true one
        self.serves = True
        self._versions = itertools.count(100)
        self.begun = 0  # watches
        self._watches = []

    def put(self, name, *, tell=True, **fields):
        """Makes or changes an object, and tells the watches of it."""
        known = name in self.items
        metadata = {"namespace": "default", "name": name, "uid": f"uid-{name}"}
        item = {"apiVersion": MODEL.api_version, "kind": MODEL.kind, "metadata": metadata, "spec": {}}
        item = _merged(self.items.get(name, item), fields)
        item["metadata"]["resourceVersion"] = str(next(self._versions))
        self.items[name] = item
        if tell:
            self.say("MODIFIED" if known else "ADDED", item)
        return item

    def say(self, kind, item):
        """Has every watch that is open tell this."""
        for watch in self._watches:
            watch.put_nowait({"type": kind, "object": item})

    @asynccontextmanager
    async def served(self):
        """Listens; yields the address."""
        runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _answer(self, request):
        self.asked.append((request.method, request.path))
        if request.path in self._discovery():
            return web.json_response(self._discovery()[request.path])
        if not request.path.startswith(f"{ROOT}/"):
            return failure(404)
        name = request.path.split("/")[7] if request.method == "PATCH" else ""
        body = await request.json() if name else {}
        what = "patch" if name else "watch" if "watch" in request.query else "list"
        if (refused := self.refuse(what, name, body)) is not None:
            return refused
        if what == "patch":
            self.patches.append((name, body))
            return web.json_response(self.put(name, **body))
        if what == "watch":
            return await self._watch(request)
        metadata = {"resourceVersion": str(next(self._versions))}
        return web.json_response({"metadata": metadata, "items": list(self.items.values())})

    async def _watch(self, request):
        told = asyncio.Queue()
        self._watches.append(told)
        response = web.StreamResponse()
        await response.prepare(request)
        self.begun += 1
        try:
            while True:
                await response.write(json.dumps(await told.get()).encode() + b"\n")
        except ConnectionError:
            return response  # kopf has left
        finally:
            self._watches.remove(told)

    def _discovery(self):
        version = {"groupVersion": MODEL.api_version, "version": "v1alpha1"}
        group = {"name": "catfish.dev", "versions": [version], "preferredVersion": version}
        plurals = ["catfishmodels", "catfishmodels/status"] if self.serves else []
        return {
            "/api": {"versions": ["v1"]},
            "/api/v1": {"resources": [_resource("namespaces", "Namespace", namespaced=False)]},
            "/apis": {"groups": [group]},
            ROOT: {"resources": [_resource(plural, MODEL.kind) for plural in plurals]},
        }


def _resource(plural, kind, *, namespaced=True):
    verbs = ["list", "watch", "patch"]
    return {"name": plural, "kind": kind, "singularName": "", "namespaced": namespaced, "verbs": verbs}


def _merged(live, patch):
    merged = json.loads(json.dumps(live))
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key, {}), value) if isinstance(value, dict) else value
    return merged


def failure(code, **headers):
    """What an API server answers when it does not do what it is asked."""
    body = {"kind": "Status", "code": code, "message": f"no: {code}"}
    return web.json_response(body, status=code, headers=headers)


class Life:
    """One life of kopf, in a thread of its own."""

    def __init__(self, registry, settings):
        self._registry, self._settings = registry, settings
        self.ended = None  # the error, or True
        self._loop, self._flag = None, asyncio.Event()

    def run(self):
        try:
            asyncio.run(self._watch())
        except Exception as error:  # noqa: BLE001 - however it ends
            self.ended = error
        else:
            self.ended = True

    async def _watch(self):
        self._loop, vault = asyncio.get_running_loop(), credentials.Vault()
        try:
            await kopf.operator(
                registry=self._registry,
                settings=self._settings,
                standalone=True,
                clusterwide=True,
                stop_flag=self._flag,
                identity="tests",
                vault=vault,
            )
        finally:
            await vault.close()  # kopf does so only where it ends well

    def stop(self):
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._flag.set)


@asynccontextmanager
async def living(api, registry, **networking):
    """kopf as the operator sets it, but for some settings of the network, against the API for the time of a block."""
    settings = handlers.settings()
    for name, value in networking.items():
        setattr(settings.networking, name, value)
    async with api.served() as address:
        kopf.on.login(registry=registry)(lambda **_: kopf.ConnectionInfo(server=address))
        life = Life(registry, settings)
        # A daemon: one that does not end fails its test, and does not keep all others from ending.
        running = threading.Thread(target=life.run, daemon=True)
        running.start()
        try:
            yield life
        finally:
            life.stop()
            await asyncio.to_thread(running.join, SECONDS)
            assert not running.is_alive(), "kopf did not end in time"


async def until(condition):
    """Waits until something is so."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.01)
