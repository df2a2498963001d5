"""Those of the prediction log; see `crd_cases`."""

from tests.integration.crd_cases_pods import names

PATH = "logging.predictions"
FORM = "must be s3://bucket/prefix"
BROKERS = "must be kafka://host:port"
PASSWORD = "must not hold a user name or password"


def log(sink, url=None, **fields):
    return {"sink": sink} | ({"url": url} if url else {}) | fields


def store(**fields):
    return log("s3", "s3://logs", **fields)


TABLE = [
    ("logging", {"predictions": {}}, {}, "predictions: Required"),
    (PATH, log("none"), log("syslog")),
    (PATH, log("stdout"), log("stdout", "s3://logs"), "must be absent where the sink is none or stdout"),
    (
        PATH,
        log("none"),
        log("none", "file:///tmp/a"),
        "url: Forbidden: must be absent where the sink is none",
    ),
    *(
        (PATH, log(sink, url), log(sink), "url: Required value: is required where the sink is file, s3")
        for sink, url in (
            ("file", "file:///tmp/a/b.jsonl"),
            ("s3", "s3://logs"),
            ("gs", "gs://logs/"),
            ("az", "az://logs/a/b"),
            ("kafka", "kafka://a/t"),
        )
    ),
    (
        PATH,
        {"sampleRate": 0.5},
        {"url": "s3://logs"},
        "url: Forbidden: must be absent where the sink is none or",
    ),
    (PATH, log("file", "file:///tmp/a"), log("file", "file:///var/log/a"), "must be file:///tmp/name"),
    (PATH, log("file", "file:///tmp/_a.b"), log("file", "file:///tmp/../etc/a"), "must be file:///tmp/name"),
    (PATH, log("file", "file:///tmp/a"), log("file", "file:///tmp/a/"), "must be file:///tmp/name"),
    (PATH, log("s3", "s3://logs/a=b/c"), log("s3", "gs://logs"), FORM),
    (PATH, log("s3", "s3://logs"), log("s3", "s3://logs/a?X-Amz-Signature=hunter2"), FORM),
    (PATH, log("gs", "gs://logs"), log("gs", "gs:///a"), FORM),
    (PATH, log("az", "az://logs"), log("az", "az://logs/a b"), FORM),
    (PATH, log("s3", "s3://logs"), log("s3", "s3://me:hunter2@logs"), PASSWORD),
    (PATH, log("kafka", "kafka://a.b-c:9092,d/t_1.x"), log("kafka", "kafka://me:hunter2@a/t"), PASSWORD),
    (PATH, log("kafka", "kafka://[::1]:9092/t"), log("kafka", "kafka://a:9092"), BROKERS),
    (PATH, log("kafka", "kafka://a/t"), log("kafka", "s3://a/t"), BROKERS),
    (PATH, log("kafka", "kafka://a/" + "t" * 249), log("kafka", "kafka://a/" + "t" * 250), BROKERS),
    (PATH, log("s3", "s3://logs/" + "a" * 2038), log("s3", "s3://logs/" + "a" * 2039)),
    (
        PATH,
        store(endpoint="http://s:9000"),
        log("kafka", "kafka://a/t", endpoint="http://s"),
        "is used where the sink is s3, gs or az only",
    ),
    (
        PATH,
        store(endpoint="https://s"),
        store(endpoint="http://u:hunter2@s"),
        "endpoint: Invalid value: must be http://host",
    ),
    (PATH, store(endpoint="http://s/" + "a" * 2039), store(endpoint="http://s/" + "a" * 2040)),
    (
        PATH,
        log("kafka", "kafka://a/t", credentialsSecretRef={"name": "a"}),
        log("stdout", credentialsSecretRef={"name": "a"}),
        "credentialsSecretRef: Forbidden: is used where the sink is s3, gs, az or kafka only",
    ),
    (PATH, store(credentialsSecretRef={"name": "a"}), store(credentialsSecretRef={}), "name: Required"),
    *names(PATH, wrap=lambda name: store(credentialsSecretRef={"name": name})),
    (f"{PATH}.sampleRate", 0, -0.1),
    (f"{PATH}.sampleRate", 1, 1.1),
    (f"{PATH}.includeTensors", True, "yes"),
    (f"{PATH}.userHeader", "X-User-Id", "X User"),
    (f"{PATH}.userHeader", "a" * 64, "a" * 65),
]
