"""The real nginx and the real versitygw on loopback, asked by the client that the model server uses."""

import http.client
from dataclasses import replace

import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from localcluster import addresses
from localcluster.store import REGION, Store

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with Store.start_in(tmp_path_factory.mktemp("store")) as started:
        yield started


def ask(store, method, path, *, body=None, headers=None):
    connection = http.client.HTTPConnection(store.address, store.http_port, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def bucket(store, secret=None):
    return S3Store(
        "models",
        endpoint=store.s3_url,
        region=REGION,
        access_key_id=store.access_key,
        secret_access_key=secret or store.secret_key,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )


def test_a_file_put_over_http_is_read_over_http_and_s3(store):
    assert ask(store, "PUT", "/models/a/weights.pt", body=b"0123456789")[0] == 201
    assert ask(store, "GET", "/models/a/weights.pt") == (200, b"0123456789")
    assert bytes(bucket(store).get("a/weights.pt").bytes()) == b"0123456789"


def test_an_object_put_by_s3_is_read_over_http(store):
    bucket(store).put("b.pt", b"from s3")
    assert ask(store, "GET", "/models/b.pt") == (200, b"from s3")


def test_ranges_are_served(store):
    ask(store, "PUT", "/models/c.pt", body=b"0123456789")
    assert ask(store, "GET", "/models/c.pt", headers={"Range": "bytes=3-5"}) == (206, b"345")
    assert bytes(bucket(store).get_range("c.pt", start=3, end=6)) == b"345"


def test_a_large_upload_arrives_whole(store):
    body = bytes(range(256)) * 65_536
    assert ask(store, "PUT", "/models/large.pt", body=body)[0] == 201
    assert ask(store, "GET", "/models/large.pt")[1] == body


def test_wrong_s3_keys_are_refused(store):
    with pytest.raises(BaseError, match=r"403|PermissionDenied|SignatureDoesNotMatch"):
        bucket(store, secret="wrong").get("a/weights.pt")


def test_what_is_not_there_is_404(store):
    assert ask(store, "GET", "/models/none.pt")[0] == 404


def test_nothing_outside_of_the_folder_is_served(store):
    assert ask(store, "GET", "/../nginx.conf")[0] in {400, 404}


def test_starting_again_keeps_the_processes_and_a_dead_one_comes_back(store):
    nginx, versitygw = store.daemons()
    before = nginx.pid
    store.start()
    assert nginx.pid == before
    versitygw.kill()
    store.start()
    assert versitygw.alive()


def test_a_large_object_goes_through_s3_whole_in_parts_and_back(store):
    body = bytes(range(256)) * 65_536
    bucket(store).put("parts.pt", body, chunk_size=6 * 1024 * 1024, use_multipart=True)
    assert bytes(bucket(store).get("parts.pt").bytes()) == body


def test_a_name_that_must_be_escaped_is_signed_and_found(store):
    bucket(store).put("a b/ü+%.pt", b"escaped")
    assert bytes(bucket(store).get("a b/ü+%.pt").bytes()) == b"escaped"


def test_who_comes_from_outside_of_the_cluster_is_refused_on_both_ports(tmp_path):
    with Store.start_in(tmp_path, clients="198.18.0.0/15") as closed:
        assert ask(closed, "PUT", "/models/a.pt", body=b"planted")[0] == 403
        assert ask(closed, "GET", "/models/")[0] == 403
        with pytest.raises(BaseError, match="403"):
            bucket(closed).put("a.pt", b"planted")
        assert list((closed.files / "models").iterdir()) == []


def test_the_port_behind_is_reached_from_this_machine_alone(store):
    assert store.s3_behind.startswith("127.")
    assert addresses.STORE_S3_BEHIND.startswith("127.")


def test_settings_of_an_older_checkout_are_replaced_in_servers_that_run(tmp_path):
    with Store.start_in(tmp_path, clients="198.18.0.0/15") as closed:
        before = [daemon.pid for daemon in closed.daemons()]
        opened = replace(closed, clients="127.0.0.0/8")
        opened.start()
        assert ask(opened, "PUT", "/models/a.pt", body=b"welcome")[0] == 201
        assert not {daemon.pid for daemon in opened.daemons()} & set(before)
