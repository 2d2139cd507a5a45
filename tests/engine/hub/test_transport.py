"""Requests: where the token goes, and what is said of it; proxies; refusals of the hub."""

import socket

import pytest
from hub_server import FakeHub, Fault, serving

from lepton_cli.engine.hub.repository import read_repository
from lepton_cli.engine.hub.transport import Hub, StatusError, Transport, find_token
from lepton_cli.engine.hub.wanted import HubFiles, wanted
from lepton_cli.engine.library.stores import hugging_face_home
from quant.errors import LeptonError, UsageError

TOKEN = "hf_secret"
NAME = "Me/Some-GGUF"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Sets variables; those that count are gone before."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    return monkeypatch.setenv


@pytest.fixture
def hub(environment):
    with serving(FakeHub(files={NAME: {"m-Q8_0.gguf": b"GGUF"}})) as hub:
        yield hub


def transport(hub, token=TOKEN):
    return Transport(Hub(hub.endpoint, token), lambda event: None, lambda seconds: None)


def read(hub, token=TOKEN, name=NAME):
    return read_repository(transport(hub, token), wanted(name))


def test_the_token_is_the_first_of_the_usual_places(environment):
    assert find_token() is None
    (hugging_face_home() / "token").write_text("from_file\n")
    assert find_token() == "from_file"
    environment("HUGGING_FACE_HUB_TOKEN", "older")
    assert find_token() == "older"
    environment("HF_TOKEN", TOKEN)
    assert find_token() == TOKEN
    environment("HF_TOKEN", " ")
    assert find_token() == "older"


def test_what_is_no_token_is_not_shown(environment):
    environment("HF_TOKEN", "my secret\nwords")
    with pytest.raises(UsageError, match="HF_TOKEN does not hold a token") as caught:
        Hub.of_environment()
    assert "secret" not in str((caught.value.message, caught.value.hint))
    assert TOKEN not in repr(Hub("http://x", TOKEN))


def test_the_token_goes_to_the_hub_alone(hub):
    with serving(FakeHub(plain={"elsewhere": b"GGUF"})) as other:
        hub.faults["start"] = [Fault(302, {"Location": f"{other.endpoint}/elsewhere"})]
        with transport(hub).open(f"{hub.endpoint}/start") as response:
            assert response.read_all(9) == b"GGUF"
        assert hub.requests[0][1]["authorization"] == f"Bearer {TOKEN}"
        assert "authorization" not in other.requests[0][1]


def test_the_token_follows_within_the_hub(hub):
    hub.faults["start"] = [Fault(307, {"Location": "/api/models"})]
    with transport(hub).open(f"{hub.endpoint}/start"):
        pass
    assert [headers["authorization"] for _, headers in hub.requests] == [f"Bearer {TOKEN}"] * 2


def test_another_port_is_not_the_hub(environment):
    own = Hub("https://hub.org", TOKEN)
    assert own.owns("https://hub.org:443/x")
    for url in ("https://hub.org:444/x", "http://hub.org/x", "https://hub.org.evil/x"):
        assert not own.owns(url)


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://x/y", "http://[x", "//x:y"])
def test_a_redirect_stays_on_the_web(hub, place):
    hub.faults["start"] = [Fault(302, {"Location": place})]
    with pytest.raises(LeptonError):
        transport(hub).open(f"{hub.endpoint}/start")


def test_endless_redirects_end(hub):
    hub.faults["start"] = [Fault(302, {"Location": "/start"})] * 30
    with pytest.raises(LeptonError):
        transport(hub).open(f"{hub.endpoint}/start")
    assert len(hub.requests) < 15


def test_a_proxy_is_used_and_its_password_never_shown(hub, environment):
    with serving(FakeHub()) as proxy:
        environment("HTTP_PROXY", proxy.endpoint.replace("://", "://me:password@"))
        environment("NO_PROXY", "")
        with pytest.raises(StatusError) as caught:
            transport(hub).open("http://models.test/m.gguf")
        [(path, headers)] = proxy.requests
        assert path == "http://models.test/m.gguf"
        assert headers["proxy-authorization"].startswith("Basic ")
        assert "password" not in caught.value.message
        environment("NO_PROXY", "127.0.0.1")
        with transport(hub).open(f"{hub.endpoint}/api/models"):
            pass
        assert len(proxy.requests) == 1


def test_a_proxy_that_refuses_is_told(hub, environment):
    with serving(FakeHub()) as proxy:  # it knows no CONNECT
        environment("HTTPS_PROXY", proxy.endpoint.replace("://", "://me:password@"))
        with pytest.raises(
            LeptonError, match=r"proxy does not connect to models\.test: 501"
        ) as told:
            transport(hub).open("https://models.test/m.gguf")
        assert "check HTTPS_PROXY" in told.value.hint
        assert "password" not in told.value.message


def test_a_proxy_of_another_kind_is_told(hub, environment):
    environment("ALL_PROXY", "socks5://me:password@127.0.0.1:1")
    with pytest.raises(UsageError, match="the proxy is a socks5 one") as caught:
        transport(hub).open("https://models.test/")
    assert "password" not in caught.value.message


@pytest.mark.parametrize(
    "endpoint", ["hub.org", "ftp://hub.org", "https://", "file:///tmp", "http://[x", "http://x:y"]
)
def test_an_endpoint_is_an_address_on_the_web(environment, endpoint):
    environment("HF_ENDPOINT", endpoint)
    with pytest.raises(UsageError, match="HF_ENDPOINT is not an address"):
        Hub.of_environment()


def test_a_connection_never_waits_for_ever(hub, monkeypatch):
    asked = []
    real = socket.create_connection

    def connect(address, timeout, *args, **kwargs):
        asked.append(timeout)
        return real(address, timeout, *args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", connect)
    read(hub)
    assert asked == [30.0]


# --- refusals


def test_an_unknown_repository_names_similar_ones(hub):
    for name, similar in (("Me/Some", NAME), ("Qwen/Qwen3-06B-GGUF", "Qwen/Qwen3-0.6B-GGUF")):
        with pytest.raises(UsageError, match="is not on 127") as caught:
            read(hub, name=name)
        assert caught.value.hint == f"did you mean {similar}?"


@pytest.mark.parametrize(
    ("fault", "token"),
    [
        (Fault(401, {"X-Error-Code": "GatedRepo"}), None),
        (Fault(403, {"X-Error-Code": "GatedRepo"}), TOKEN),
        (Fault(403), TOKEN),
    ],
)
def test_a_gated_repository_tells_what_to_do(hub, fault, token):
    hub.faults["api/models"] = [fault]
    with pytest.raises(LeptonError, match="is gated") as caught:
        read(hub, token)
    assert f"accept its licence on {hub.endpoint}/{NAME}" in caught.value.hint
    assert "HF_TOKEN" in caught.value.hint
    assert TOKEN not in caught.value.hint


@pytest.mark.parametrize(
    ("token", "message"), [(TOKEN, "does not accept the token"), (None, "wants a token")]
)
def test_a_token_that_does_not_count_is_told(hub, token, message):
    hub.faults["api/models"] = [Fault(401)]
    with pytest.raises(LeptonError, match=message) as caught:
        read(hub, token)
    assert "set HF_TOKEN" in caught.value.hint


def test_an_answer_that_is_cut_is_asked_for_again(hub):
    hub.faults["api/models"] = [Fault(cut_after=9)]
    assert [file.path for file in read(hub).files] == ["m-Q8_0.gguf"]


def test_a_missing_revision_is_told(hub):
    with pytest.raises(UsageError, match="has no revision v9") as caught:
        read_repository(transport(hub), HubFiles(NAME, revision="v9"))
    assert caught.value.hint == f"for the newest: lepton pull {NAME}"


@pytest.mark.parametrize(
    "file", ["../x.gguf", "a/../../x.gguf", "/x.gguf", "a\\..\\x.gguf", "a/./x"]
)
def test_file_names_that_lead_out_of_the_folder_are_refused(hub, file):
    hub.files[NAME][file] = b"GGUF"
    with pytest.raises(LeptonError, match="leads out of its folder"):
        read(hub)


@pytest.mark.parametrize(
    "listed",
    [
        {"sha": "../../x"},
        {"sha": None},
        {"siblings": None},
        {"siblings": [{"size": 1}]},
        {"siblings": [3]},
        {"siblings": [{"rfilename": "a\x1b[2J.gguf"}]},
    ],
)
def test_an_answer_that_is_not_the_hub_s_is_refused(hub, listed):
    hub.listed[NAME] = listed
    with pytest.raises(LeptonError):
        read(hub)


def test_files_without_a_hash_are_not_offered(hub):
    hub.listed[NAME] = {
        "siblings": [{"rfilename": "m.gguf", "size": 4, "lfs": {"sha256": "../x", "size": 4}}]
    }
    assert read(hub).files == []


@pytest.mark.parametrize(
    "name",
    [
        *("../x/y", "x/..", "hf:../y", "a--b/c", "a/b..c", "hf.co/a/b/../../c"),
        *(
            "hf:a/b\x1b",
            "a/b:\x00",
            "hf:a/b/blob/main/..%2f..%2fx.gguf",
            "hf:a/b/blob/..%2f..%2fx/m.gguf",
            "",
            " ",
        ),
        *("http://x/..%2fm.gguf", "http://x/%2e%2e", "http:///m.gguf", "ftp://x/m.gguf"),
        *("http://x/m.txt", "xyzzy", "builtin", "ollama:llama3", "./a/b"),
        *("http://[x/m.gguf", "http://x:99999/m.gguf", "http://x:y/m.gguf"),
    ],
)
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(UsageError):
        wanted(name)
