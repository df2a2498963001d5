"""The one error of this package."""


class Unusable(Exception):
    """A store cannot be addressed with what there is; the text completes the sentence "… cannot be used: …".

    It names variables, files and settings, and never repeats what stands in them.
    """
