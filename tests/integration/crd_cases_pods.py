"""Those of the pods' own fields and of the Service; see `crd_cases`."""

KEYS = [f"k{number}" for number in range(101)]
NAME_OF_A_LABEL = "must have keys that are names of labels"
RESOURCES = "must have keys that are resources"
LABEL = "a" * 63


def names(path, *, wrap=lambda name: name):
    """The bounds of the name of another object."""
    return [
        (path, wrap("a"), wrap("")),
        (path, wrap("a" * 253), wrap("a" * 254)),
        (path, wrap("a-b.c"), wrap("A_b")),
    ]


def mapping(number, value="b"):
    return dict.fromkeys(KEYS[:number], value)


IMAGE = [
    ("image", "a", ""),
    ("image", "a" * 1024, "a" * 1025),
    ("image", "registry.example.com:5000/a/b@sha256:" + "0" * 64, "a b"),
    ("imagePullPolicy", "Never", "Sometimes"),
    ("imagePullSecrets", [{"name": "a"}], [{}], "[0].name: Required"),
    ("imagePullSecrets", [{"name": key} for key in KEYS[:16]], [{"name": key} for key in KEYS[:17]]),
    ("imagePullSecrets", [{"name": "a"}, {"name": "b"}], [{"name": "a"}, {"name": "a"}], "[1]: Duplicate"),
    *names("imagePullSecrets", wrap=lambda name: [{"name": name}]),
    *names("serviceAccountName"),
    *names("priorityClassName"),
    *names("runtimeClassName"),
]

QUANTITIES = [
    case
    for kind in ("requests", "limits")
    for case in (
        (f"resources.{kind}", {"cpu": 1}, {"cpu": -1}),
        (f"resources.{kind}", {"cpu": "500m", "memory": "1Gi"}, {"cpu": "x"}),
        (f"resources.{kind}", {"cpu": "0" * 31 + "1"}, {"cpu": "0" * 33}),
        (f"resources.{kind}", {"hugepages-2Mi": 1, "example.com/gpu": 1}, {"cpus": 1}, RESOURCES),
        (
            f"resources.{kind}",
            {f"example.com/{key}": 1 for key in KEYS[:16]},
            {f"example.com/{key}": 1 for key in KEYS[:17]},
        ),
    )
]
RESOURCES_TABLE = [
    *QUANTITIES,
    (
        "resources",
        {"requests": {"cpu": "1.5"}, "limits": {"cpu": "1500m"}},
        {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}},
        "must not be greater than limits",
    ),
]


def one(name="A", **fields):
    return [{"name": name} | fields]


def reference(kind, **fields):
    return one(valueFrom={kind: {"name": "a", "key": "b"} | fields})


ENV = [
    ("env", one(), [{"value": "a"}], "[0].name: Required"),
    ("env", [*one("A"), *one("B")], [*one(), *one()], "[1]: Duplicate"),
    ("env", [{"name": key} for key in KEYS[:100]], [{"name": key} for key in KEYS]),
    ("env", one("a"), one("")),
    ("env", one("a" * 256), one("a" * 257)),
    ("env", one("a.b-C_9"), one("a=b")),
    ("env", one("CATFISH"), one("CATFISH_PORT"), "must not start with CATFISH_"),
    ("env", one(value="a" * 32_768), one(value="a" * 32_769)),
    (
        "env",
        reference("secretKeyRef"),
        one(value="a", valueFrom={"secretKeyRef": {"name": "a", "key": "b"}}),
        "must be absent when there is a value",
    ),
    (
        "env",
        reference("secretKeyRef"),
        one(valueFrom={}),
        "must have one of configMapKeyRef and secretKeyRef",
    ),
    (
        "env",
        reference("configMapKeyRef"),
        one(
            valueFrom={
                "configMapKeyRef": {"name": "a", "key": "b"},
                "secretKeyRef": {"name": "a", "key": "b"},
            }
        ),
        "must have one of configMapKeyRef and secretKeyRef",
    ),
    (
        "env",
        reference("secretKeyRef"),
        one(valueFrom={"fieldRef": {"fieldPath": "x"}}),
        'unknown field "spec.env[0].valueFrom.fieldRef"',
    ),
    *(
        case
        for kind in ("configMapKeyRef", "secretKeyRef")
        for case in (
            ("env", reference(kind), one(valueFrom={kind: {"key": "b"}}), f"{kind}.name: Required"),
            ("env", reference(kind), one(valueFrom={kind: {"name": "a"}}), f"{kind}.key: Required"),
            *names("env", wrap=lambda name, kind=kind: reference(kind, name=name)),
            ("env", reference(kind, key="a"), reference(kind, key="")),
            ("env", reference(kind, key="a" * 253), reference(kind, key="a" * 254)),
            ("env", reference(kind, key="A_b-c.d"), reference(kind, key="a/b")),
            ("env", reference(kind, optional=True), reference(kind, optional="yes")),
        )
    ),
]

LABELS = [
    case
    for field in ("podLabels", "nodeSelector")
    for case in (
        (field, {"example.com/a": "b"}, {"a b": "c"}, NAME_OF_A_LABEL),
        (field, {"a": ""}, {"a": "b c"}),
        (field, {"a": LABEL}, {"a": LABEL + "a"}),
        (field, mapping(64), mapping(65)),
    )
]
ANNOTATIONS = [
    case
    for field in ("podAnnotations", "service.annotations")
    for case in (
        (
            field,
            {"example.com/a": "any text: {}"},
            {"a b": "c"},
            "must have keys that are names of annotations",
        ),
        (field, {"a": "b" * 4096}, {"a": "b" * 4097}),
        (field, mapping(64), mapping(65)),
    )
]
RESERVED = "must not have app.kubernetes.io/name, instance or managed-by"
METADATA = [
    *LABELS,
    *ANNOTATIONS,
    ("podLabels", {"app.kubernetes.io/version": "1"}, {"app.kubernetes.io/name": "x"}, RESERVED),
    ("podLabels", {"app.kubernetes.io/part-of": "x"}, {"app.kubernetes.io/instance": "x"}, RESERVED),
    ("podLabels", {"a": "b"}, {"app.kubernetes.io/managed-by": "x"}, RESERVED),
    ("podLabels", {"a": "b"}, {"pod-template-hash": "x"}, RESERVED),
    ("podLabels", {"example.com/catfish.dev": "x"}, {"catfish.dev/revision": "x"}, RESERVED),
    ("podAnnotations", {"a": "b"}, {"catfish.dev/x": "y"}, "must not have catfish.dev/"),
]


def toleration(**fields):
    return [{"key": "a"} | fields]


TOLERATIONS = [
    (
        "tolerations",
        [{"operator": "Exists"}],
        [{"value": "x"}],
        ".operator: Invalid value: must be Exists when there is no key",
    ),
    (
        "tolerations",
        toleration(operator="Equal", value="x"),
        toleration(operator="Exists", value="x"),
        "must be absent",
    ),
    (
        "tolerations",
        toleration(effect="NoExecute", tolerationSeconds=3),
        toleration(tolerationSeconds=3),
        "is allowed for effect NoExecute only",
    ),
    ("tolerations", toleration(effect="PreferNoSchedule"), toleration(effect="Never")),
    ("tolerations", toleration(operator="Exists"), toleration(operator="Is")),
    ("tolerations", toleration(value=LABEL), toleration(value=LABEL + "a")),
    ("tolerations", toleration(value="a.b"), toleration(value="a b")),
    ("tolerations", toleration(key="example.com/a"), toleration(key="a b")),
    ("tolerations", toleration(key="a" * 253 + "/" + LABEL), toleration(key="a" * 254 + "/" + LABEL)),
    ("tolerations", toleration() * 64, toleration() * 65),
    (
        "tolerations",
        toleration(),
        toleration(efect="NoSchedule"),
        'unknown field "spec.tolerations[0].efect"',
    ),
]


def spread(**fields):
    return [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"} | fields]


def affinity(**term):
    return {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"} | term]
        }
    }


PLACES = [
    ("affinity", affinity(), affinity(labelSelctor={}), "labelSelctor"),
    ("affinity", {"nodeAffinity": {}}, {"nodeAfinity": {}}, 'unknown field "spec.affinity.nodeAfinity"'),
    (
        "affinity",
        affinity(labelSelector={"matchExpressions": [{"key": "a", "operator": "Exists"}]}),
        affinity(labelSelector={"matchExpressions": [{"key": "a"}]}),
        "operator: Required",
    ),
    ("topologySpreadConstraints", spread(maxSkew=1), spread(maxSkew=0), "must have a maxSkew of 1 or more"),
    ("topologySpreadConstraints", spread(topologyKey="a"), spread(topologyKey=""), "must have a topologyKey"),
    (
        "topologySpreadConstraints",
        spread(minDomains=1),
        spread(minDomains=1, whenUnsatisfiable="ScheduleAnyway"),
        "may have minDomains",
    ),
    ("topologySpreadConstraints", spread(), spread(whenUnsatisfiable="Maybe"), "whenUnsatisfiable"),
    (
        "topologySpreadConstraints",
        spread(),
        [{"maxSkew": 1, "topologyKey": "a"}],
        "whenUnsatisfiable: Required",
    ),
    ("topologySpreadConstraints", spread(), spread(maxskew=2), "maxskew"),
    ("topologySpreadConstraints", spread() + spread(topologyKey="b"), spread() * 2, "[1]: Duplicate"),
    (
        "topologySpreadConstraints",
        [item for key in KEYS[:16] for item in spread(topologyKey=key)],
        [item for key in KEYS[:17] for item in spread(topologyKey=key)],
    ),
]

LOCAL = {"externalTrafficPolicy": "Local"}
RANGES = "service.loadBalancerSourceRanges"
SERVICE = [
    ("service.type", "NodePort", "ExternalName"),
    ("service.port", 1, 0),
    ("service.port", 65_535, 65_536),
    ("service.grpcPort", 1, 0),
    ("service.grpcPort", 65_535, 65_536),
    ("service.grpcPort", 9000, 80, "service.grpcPort: Invalid value: must differ from spec.service.port"),
    (
        "service",
        {"port": 9000, "grpcPort": 80},
        {"port": 9000, "grpcPort": 9000},
        "must differ from spec.service.port",
    ),
    ("service.loadBalancerClass", "a", ""),
    ("service.loadBalancerClass", "a" * 253 + "/" + LABEL, "a" * 254 + "/" + LABEL),
    ("service.loadBalancerClass", "example.com/lb", "a b"),
    (
        "service",
        {"loadBalancerClass": "a"},
        {"type": "ClusterIP", "loadBalancerClass": "a"},
        "type LoadBalancer only",
    ),
    (RANGES, ["192.0.2.0/24", "2001:db8::/32"], ["192.0.2.1"], "must be a network such as"),
    (RANGES, ["192.0.2.0/24"], ["a" * 50]),
    (RANGES, ["192.0.2.0/24"], []),
    (RANGES, ["192.0.2.0/24"] * 64, ["192.0.2.0/24"] * 65),
    (
        "service",
        {"loadBalancerSourceRanges": ["192.0.2.0/24"]},
        {"type": "NodePort", "loadBalancerSourceRanges": ["192.0.2.0/24"]},
        "loadBalancerSourceRanges: Forbidden: is allowed for type LoadBalancer only",
    ),
    (
        "service",
        {"type": "NodePort"} | LOCAL,
        {"type": "ClusterIP"} | LOCAL,
        "LoadBalancer and NodePort only",
    ),
    ("service.externalTrafficPolicy", "Cluster", "Nearby"),
]

TABLE = [*IMAGE, *RESOURCES_TABLE, *ENV, *METADATA, *TOLERATIONS, *PLACES, *SERVICE]
