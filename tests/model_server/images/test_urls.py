import pytest
from hypothesis import given
from hypothesis import strategies as st

from catfish_server.images import urls
from catfish_server.images.urls import URL, InvalidURL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "http://example.com",
            URL(scheme="http", host="example.com", port=80, authority="example.com", target="/"),
        ),
        (
            "HTTPS://Example.COM/a?b=c#d",
            URL(scheme="https", host="example.com", port=443, authority="example.com", target="/a?b=c"),
        ),
        (
            "http://example.com.:8080/ä",
            URL(scheme="http", host="example.com", port=8080, authority="example.com:8080", target="/%C3%A4"),
        ),
        (
            "http://[2606:4700::1111]:81/x",
            URL(
                scheme="http", host="2606:4700::1111", port=81, authority="[2606:4700::1111]:81", target="/x"
            ),
        ),
        (
            "http://bücher.example/",
            URL(
                scheme="http",
                host="xn--bcher-kva.example",
                port=80,
                authority="xn--bcher-kva.example",
                target="/",
            ),
        ),
    ],
)
def test_a_url_is_taken_apart(text, expected):
    assert urls.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cat.jpg",
        "//example.com/cat.jpg",
        "http:example.com",
        "http://",
        "http:///cat.jpg",
        "http://?x",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "http://example.com/\ud800",
        "http://example.com/?q=\udc00",
        "http://exam\ud800ple.com/",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1\\.example.com/",
        "http://exa mple.com/",
        "http://example.com/\r\nX: y",
        "http://example.com/\x00",
        "http://example.com\t/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://example.com:x/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://a..b/",
        "http://.example.com/",
        "http://exa%6dple.com/",
        "http://example.com/" + "a" * 2048,
        "http://" + "a" * 64 + ".com/",
        "http://[v1.a]/",
    ],
)
def test_what_is_no_plain_web_address_is_refused(text):
    with pytest.raises(InvalidURL) as caught:
        urls.parse(text)
    assert caught.value.status == 400
    assert caught.value.field == "image_url"
    assert "secret" not in caught.value.detail


@given(
    st.text(st.characters(), max_size=60)
    | st.text(st.characters(), max_size=60).map("http://h.test/{}".format)
)
def test_any_text_after_the_scheme_is_parsed_or_refused(text):
    try:
        url = urls.parse("http://" + text)
    except InvalidURL:
        return
    assert url.host
    assert url.target.isascii()
    assert not set(url.target + url.authority) & set(" \r\n\t\\")
