"""The Service in front of a model's pods."""

from catfish_operator.model import CatfishModel, Json
from catfish_operator.resources.metadata import metadata, selector

API_VERSION, KIND = "v1", "Service"
CLEARTEXT_HTTP2 = "kubernetes.io/h2c"
"""How meshes and gateways are told to speak HTTP/2 without TLS, on which gRPC runs (KEP-3726)."""


def service(model: CatfishModel) -> Json:
    """The Service: `port` leads to the pods' port `http`, `grpcPort` to `grpc`. Only what its type allows is set.

    Pods always listen for gRPC, so that to offer it restarts none. Their ports are meant by name: pods of a
    revision that was rendered before there was gRPC have none of that name, and get no gRPC connections.
    """
    wanted, head = model.service, metadata(model)
    if wanted.annotations:
        head["annotations"] = wanted.annotations
    spec: Json = {
        "type": wanted.type,
        "selector": selector(model.name),
        "ports": [{"name": "http", "port": wanted.port, "targetPort": "http", "protocol": "TCP"}],
    }
    if wanted.grpc_port is not None:
        spec["ports"].append(
            {
                "name": "grpc",
                "port": wanted.grpc_port,
                "targetPort": "grpc",
                "protocol": "TCP",
                "appProtocol": CLEARTEXT_HTTP2,
            }
        )
    if wanted.type != "ClusterIP":
        spec["externalTrafficPolicy"] = wanted.external_traffic_policy or "Cluster"
    if wanted.type == "LoadBalancer":
        if wanted.load_balancer_class:
            spec["loadBalancerClass"] = wanted.load_balancer_class
        if wanted.load_balancer_source_ranges:
            spec["loadBalancerSourceRanges"] = list(wanted.load_balancer_source_ranges)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": head, "spec": spec}


def ports(wanted: Json, live: Json) -> list[Json]:
    """The wanted ports with the node ports that those of the same name have now."""
    node_ports = {port.get("name"): port.get("nodePort") for port in live["spec"].get("ports") or []}
    return [
        port | ({"nodePort": node_ports[port["name"]]} if node_ports.get(port["name"]) else {})
        for port in wanted["spec"]["ports"]
    ]


def url(model: CatfishModel, live: Json) -> str | None:
    """Where the model is asked: the load balancer's address, else the cluster's own name; None: unknown."""
    port = "" if model.service.port == 80 else f":{model.service.port}"
    if model.service.type != "LoadBalancer":
        return f"http://{model.name}.{model.namespace}.svc{port}"
    ingress = ((live.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [{}]
    host = ingress[0].get("ip") or ingress[0].get("hostname")
    if not host:
        return None
    return f"http://[{host}]{port}" if ":" in host else f"http://{host}{port}"
