"""What runs a model of the registry: eager torch, TorchScript or ONNX Runtime, whichever is fastest and agrees.

A server is Ready with eager torch, which needs no building. Then `background` has a child process (`trial`) build
the others, verify each against eager and time them (`choose`); the fastest that agrees is loaded into the server,
verified once more and put in the place of eager. What was found is kept on disk (`shelf`), so that the next start
on the same processor builds nothing.
"""
