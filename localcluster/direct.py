"""Talking to addresses of the cluster past the proxy that this machine may be set to use: it does not know them."""

import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping

from localcluster import addresses

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def opener(context: ssl.SSLContext | None = None) -> urllib.request.OpenerDirector:
    """Returns what opens URLs directly.

    Args:
        context: whom to trust and who we are, for https.
    """
    secure = [urllib.request.HTTPSHandler(context=context)] if context else []
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), *secure)


def status(url: str, *, context: ssl.SSLContext | None = None, seconds: float = 5) -> int | None:
    """The status that a GET is answered with; None when nobody answers within this time."""
    try:
        with opener(context).open(url, timeout=seconds) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None


def environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables for programs that talk to the cluster: ours, with its addresses among those without a proxy.

    Kubernetes, kubectl and CoreDNS are Go programs, which read a range there:
    https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config
    """
    named = {name.lower(): value for name, value in base.items() if value}
    if not any(name in named for name in _PROXIES):
        return dict(base)
    without = ",".join(filter(None, (named.get("no_proxy"), addresses.ALL)))
    return {**base, "NO_PROXY": without, "no_proxy": without}
