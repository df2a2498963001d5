"""The Open Inference Protocol, version 2: by HTTP in `rest`, by gRPC in `remote`, what both mean in `model`."""
