"""What goes wrong with the local cluster, in words for the person at the terminal."""


class LocalClusterError(Exception):
    """A failure that the user can do something about; its text is one readable line (details may follow)."""
