"""The messages of open_inference.proto as protoc writes them; nothing here is edited by hand."""
