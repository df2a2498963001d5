"""The variables and files of the AWS tools. That the keys are the right ones is asked of real stores elsewhere
(`weights/test_profiles.py`, `predictions/test_objects.py`)."""

import pytest

from catfish_server.credentials import amazon
from catfish_server.credentials.amazon import Access, Keys
from catfish_server.credentials.unusable import Unusable

CREDENTIALS = """
[default]
aws_access_key_id = of-default
aws_secret_access_key = hunter2-default

[team]
aws_access_key_id = of-team
aws_secret_access_key = hunter2-team
aws_session_token = hunter2-token
"""
CONFIG = """
# comments are allowed
[default]
region = eu-central-1
s3 =
    max_concurrent_requests = 20

[profile team]
region = eu-west-1
endpoint_url = http://team:9000

[profile "in config"]
aws_access_key_id = of-config
aws_secret_access_key = hunter2-config
services = lab

[services lab]
dynamodb =
  endpoint_url = http://other:9000
s3 =
  endpoint_url = http://lab:9000
"""
DEFAULT = Keys(access_key_id="of-default", secret_access_key="hunter2-default")
TEAM = Keys(access_key_id="of-team", secret_access_key="hunter2-team", token="hunter2-token")
CONFIGURED = Keys(access_key_id="of-config", secret_access_key="hunter2-config")
VARIABLES = Keys(access_key_id="of-env", secret_access_key="hunter2-env")
IN_ENV = {"AWS_ACCESS_KEY_ID": "of-env", "AWS_SECRET_ACCESS_KEY": "hunter2-env"}


@pytest.fixture
def home(tmp_path):
    """The environment of somebody who has a home directory with both files; a function writes others."""

    def write(credentials=CREDENTIALS, config=CONFIG):
        folder = tmp_path / ".aws"
        folder.mkdir(exist_ok=True)
        for name, text in (("credentials", credentials), ("config", config)):
            (folder / name).unlink(missing_ok=True)
            if text is not None:
                (folder / name).write_text(text)
        return {"HOME": str(tmp_path)}

    return write


def of(env, endpoint=None):
    return amazon.access(env, endpoint=endpoint)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        pytest.param({}, (DEFAULT, "eu-central-1", None), id="default"),
        pytest.param({"AWS_PROFILE": "team"}, (TEAM, "eu-west-1", "http://team:9000"), id="named"),
        pytest.param(
            {"AWS_PROFILE": "in config"}, (CONFIGURED, "us-east-1", "http://lab:9000"), id="config-file"
        ),
        pytest.param(
            {"AWS_PROFILE": "team", **IN_ENV}, (VARIABLES, "eu-west-1", "http://team:9000"), id="keys-in-env"
        ),
        pytest.param(
            {"AWS_REGION": "a-1", "AWS_DEFAULT_REGION": "b-1"}, (DEFAULT, "a-1", None), id="region-in-env"
        ),
        pytest.param(
            {"AWS_PROFILE": "team", "AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": "http://s3"},
            (TEAM, "eu-west-1", "http://s3"),
            id="endpoint-of-the-service",
        ),
        pytest.param(
            {"AWS_PROFILE": "team", "AWS_ENDPOINT_URL": "http://all"},
            (TEAM, "eu-west-1", "http://all"),
            id="endpoint-in-env",
        ),
        pytest.param(
            {"AWS_PROFILE": "team", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            (TEAM, "eu-west-1", None),
            id="endpoint-ignored",
        ),
        pytest.param(
            {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, (None, "eu-central-1", None), id="web-identity-first"
        ),
        pytest.param(
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://a"}, (DEFAULT, "eu-central-1", None), id="pod-last"
        ),
    ],
)
def test_what_the_environment_and_the_profile_say_is_taken_in_the_order_of_the_aws_cli(home, env, expected):
    keys, region, endpoint = expected
    source = None if keys else "AWS_WEB_IDENTITY_TOKEN_FILE"
    assert of(home() | env) == Access(region=region, endpoint=endpoint, keys=keys, source=source)


def test_an_endpoint_that_is_asked_for_goes_before_all_others(home):
    env = home() | {"AWS_PROFILE": "team", "AWS_ENDPOINT_URL_S3": "http://s3"}
    assert of(env, endpoint="http://spec").endpoint == "http://spec"


@pytest.mark.parametrize("place", ["{home}/credentials", "~/credentials"])
def test_variables_name_other_files(tmp_path, home, place):
    env = home()
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id=a\naws_secret_access_key=b\n")
    (tmp_path / "config").write_text("[default]\nregion=x-1\n")
    env |= {
        "AWS_SHARED_CREDENTIALS_FILE": place.format(home=tmp_path),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
    }
    found = of(env)
    assert (found.keys, found.region) == (Keys(access_key_id="a", secret_access_key="b"), "x-1")


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({}, id="no-home"),
        pytest.param({"HOME": "/nowhere"}, id="no-files"),
        pytest.param(
            {"AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_CONFIG_FILE": "/dev/null"}, id="empty-files"
        ),
    ],
)
def test_without_keys_a_bucket_is_used_anonymously(env):
    found = of(env)
    assert found == Access(region="us-east-1", endpoint=None, keys=None)
    assert found.anonymous


@pytest.mark.parametrize("variable", amazon.CREDENTIAL_SOURCES)
def test_where_the_platform_has_keys_the_client_gets_them(variable):
    found = of({variable: "/somewhere"})
    assert (found.keys, found.source, found.anonymous) == (None, variable, False)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("role_arn", "arn:aws:iam::1:role/hunter2"),
        ("source_profile", "hunter2"),
        ("credential_source", "Ec2InstanceMetadata"),
        ("web_identity_token_file", "/hunter2"),
        ("sso_session", "hunter2"),
        ("sso_start_url", "https://hunter2"),
        ("sso_account_id", "hunter2"),
        ("login_session", "hunter2"),
        ("credential_process", "/bin/hunter2"),
    ],
)
def test_a_profile_that_gets_its_keys_in_another_way_is_told_with_what_to_do(home, setting, value):
    env = home(credentials=None, config=f"[profile team]\n{setting} = {value}\n") | {"AWS_PROFILE": "team"}
    with pytest.raises(
        Unusable, match=rf"^the AWS profile team gets its keys by {setting}, .* in AWS_PROFILE, or set "
    ) as told:
        of(env)
    assert "hunter2" not in str(told.value)
    assert of(env | IN_ENV).keys == VARIABLES


def test_keys_in_the_credentials_file_go_before_a_process(home):
    env = home(config="[profile team]\ncredential_process = /bin/keys\n") | {"AWS_PROFILE": "team"}
    assert of(env).keys == TEAM


@pytest.mark.parametrize(
    ("credentials", "env", "says"),
    [
        pytest.param(
            CREDENTIALS, {"AWS_PROFILE": "nobody"}, r"^there is no AWS profile nobody in ", id="no-profile"
        ),
        pytest.param(
            "[default]\naws_access_key_id = hunter2\n",
            {},
            r"^the AWS profile default has aws_access_key_id and no aws_secret_access_key",
            id="half-a-key",
        ),
        pytest.param("hunter2\n", {}, r"/\.aws/credentials: line 1 is no setting", id="no-section"),
        pytest.param("[default]\n\nhunter2\n", {}, r"/\.aws/credentials: line 3 is no setting", id="no-name"),
        pytest.param("[a]\nb=1\n[a]\nhunter2=2\n", {}, r"/\.aws/credentials: line 3 ", id="twice"),
        pytest.param("\0\udcff", {}, r"/\.aws/credentials: cannot be read as a text file", id="no-text"),
        pytest.param(
            CREDENTIALS,
            {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials"},
            r"^AWS_SHARED_CREDENTIALS_FILE: /nowhere/credentials does not exist$",
            id="no-file",
        ),
        pytest.param(
            CREDENTIALS,
            {"AWS_ACCESS_KEY_ID": "hunter2"},
            r"^AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not$",
            id="half-a-key-in-env",
        ),
    ],
)
def test_what_cannot_be_used_is_told_without_what_it_holds(home, tmp_path, credentials, env, says):
    env = home() | env
    (tmp_path / ".aws" / "credentials").write_bytes(credentials.encode(errors="surrogateescape"))
    with pytest.raises(Unusable, match=says) as told:
        of(env)
    assert "hunter2" not in str(told.value)


def test_a_credentials_file_that_is_named_has_the_profile(tmp_path):
    path = tmp_path / "credentials"
    path.write_text(CREDENTIALS.replace("[default]", "[other]"))
    with pytest.raises(Unusable, match="there is no AWS profile default"):
        of({"AWS_SHARED_CREDENTIALS_FILE": str(path)})


def test_no_secret_is_in_what_is_printed_of_an_access(home):
    assert "hunter2" not in repr(of(home() | {"AWS_PROFILE": "team"}))
