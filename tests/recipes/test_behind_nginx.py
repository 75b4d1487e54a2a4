"""The part of ``recipes/web.md`` about nginx, with a real one."""

from __future__ import annotations

import base64
import http.client
import re
import shutil
import socket
import ssl
import subprocess
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("typer", exc_type=ImportError)

from huey import SqliteHuey

from tests.locks import GONE, taken_by
from tests.recipes.pages import blocks_of, reader_in
from tests.servers import free_port
from tests.support import locks, tail, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.storage("sqlite"),
    pytest.mark.skipif(
        not (shutil.which("nginx") and shutil.which("openssl")), reason="nginx is not installed"
    ),
]
HOST = "ops.example.com"
ANN = f"Basic {base64.b64encode(b'ann:secret').decode()}"
AROUND = """
daemon off; pid {0}/pid; error_log stderr; user root;
events {{}}
http {{
    access_log off;
    client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi;
    uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;
    {1}
}}
"""


@contextmanager
def running(command, folder, port, name):
    """Run a server until the block ends."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    try:

        def is_up():
            assert process.poll() is None, f"it ended{tail(log)}"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(is_up, 30, f"{name} to be up", log)
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def behind_nginx(tmp_path):
    """A function that sends a request to the page of the recipe, and the Huey."""
    blocks = blocks_of("web.md")
    (unit,) = (block.text for block in blocks if block.language == "ini")
    (server,) = (block.text for block in blocks if block.language == "nginx")
    tasks = next(block.text for block in blocks if block.file == "tasks.py")
    (tmp_path / "tasks.py").write_text(tasks)
    page_port, port = free_port(), free_port()
    with reader_in(tmp_path) as reader:
        reader.run(
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 1 "
            f'-subj /CN={HOST}; echo "ann:$(openssl passwd -apr1 secret)" > htpasswd'
        )
    for path, own in (
        (f"/etc/ssl/{HOST}.pem", "cert"),
        (f"/etc/ssl/{HOST}.key", "key"),
        ("/etc/nginx/huey-signals.htpasswd", "htpasswd"),
    ):
        assert path in server
        server = server.replace(path, str(tmp_path / own))
    server = server.replace("listen 443", f"listen 127.0.0.1:{port}").replace(
        "9807", str(page_port)
    )
    (tmp_path / "nginx.conf").write_text(AROUND.format(tmp_path, server))
    command = re.search("ExecStart=(.*)", unit)[1].replace("9807", str(page_port))
    page = command.replace("/srv/shop", str(tmp_path)).split()
    nginx = ["nginx", "-c", str(tmp_path / "nginx.conf")]
    context = ssl._create_unverified_context()

    def send(method, path, fields=None, **headers):
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = None if fields is None else urlencode(fields)
        connection.request(method, path, body, {"Host": HOST, **named})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer, text

    huey = SqliteHuey("shop", filename=tmp_path / "queue.db")
    with running(page, tmp_path, page_port, "page"), running(nginx, tmp_path, port, "nginx"):
        yield send, huey
    huey.storage.close()


def test_the_page_behind_nginx(behind_nginx, tmp_path):
    """Only with the password; its forms work, and the log has the user and no traceback."""
    send, huey = behind_nginx
    taken_by(huey, "import", GONE)
    answer, _ = send("GET", "/")
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (
        401,
        'Basic realm="huey-signals"',
    )
    answer, _ = send("GET", "/", Authorization=ANN)
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert send("GET", "/", Authorization=ANN, Host="evil.example")[0].status == 403

    def form():
        _, text = send("GET", "/act/release?name=import", Authorization=ANN)
        return dict(re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)"', text))

    fields = wait_until(form, 15, "the form")
    evil = {"Authorization": ANN, "Origin": "https://evil.example"}
    assert send("POST", "/act/release", fields, **evil)[0].status == 403
    assert send("POST", "/act/release", {"x": "y" * 100_000}, **evil)[0].status == 403
    own = {"Authorization": ANN, "Origin": f"https://{HOST}"}
    answer, text = send("POST", "/act/release", {"x": "y" * 100_000}, **own)
    assert (answer.status, "65,536 bytes" in text) == (413, True)
    assert locks(huey) == {"import"}
    answer, _ = send("POST", "/act/release", fields, **own)
    location = answer.headers["Location"]
    assert (answer.status, location.partition("&")[0]) == (303, "/locks?done=release")
    assert locks(huey) == set()
    log = (tmp_path / "page.log").read_text()
    assert "Traceback" not in log
    assert "release of 'import' on the queue 'shop', by the user 'ann': 1 changed" in log
