"""The name under which the inference side raises `Overloaded`; decoding, which lies below, raises it as well."""

from catfish_server.errors import Overloaded

__all__ = ["Overloaded"]
