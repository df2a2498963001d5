"""HTTP to addresses of the cluster, past the proxy that this machine may be set to use: it does not know them."""

import ssl
import urllib.error
import urllib.request


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
