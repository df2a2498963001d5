"""What can be wrong with the keys of a store of weights: rows of the table of bad weights, with secrets in them."""

from tests.spoiled_weights import Bad, at

VERBOSE = {"CATFISH_LOG_LEVEL": "DEBUG"}
"""For what has a secret in it: it must not be told there either."""

KEYS = {
    "half a connection string": Bad(
        reason="InvalidSpec",
        says="AZURE_STORAGE_CONNECTION_STRING: part 2 of those between semicolons is not Name=value",
        place=at("az://models/w", AZURE_STORAGE_CONNECTION_STRING="AccountName=a;hunter2", **VERBOSE),
    ),
    "the login of a person": Bad(
        reason="InvalidSpec",
        says="GOOGLE_SERVICE_ACCOUNT_KEY is of the type authorized_user (the login of a person)",
        place=at(
            "gs://models/w",
            GOOGLE_SERVICE_ACCOUNT_KEY='{"type": "authorized_user", "refresh_token": "hunter2"}',
            **VERBOSE,
        ),
    ),
    "half a key": Bad(
        reason="InvalidSpec",
        says="AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not",
        place=at("s3://models/w", AWS_ACCESS_KEY_ID="hunter2", **VERBOSE),
    ),
    "keys for a store that is away": Bad(
        reason="WeightsUnreachable",
        says="connection was refused",
        place=at(
            "s3://models/w",
            CATFISH_WEIGHTS_ENDPOINT="http://127.0.0.1:1",
            AWS_ACCESS_KEY_ID="hunter2",
            AWS_SECRET_ACCESS_KEY="hunter2",
            AWS_SESSION_TOKEN="hunter2",
            **VERBOSE,
        ),
    ),
}
