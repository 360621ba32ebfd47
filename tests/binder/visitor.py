"""A visitor of Binder's page, inside the container: opens a notebook over HTTP and runs its cells.

Arguments: URL, TOKEN, NOTEBOOK, as the server names it. Prints what the cells gave, as JSON: for
each its text, the plain text of its outputs, and its seconds. Ends at the first error.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.parse
import urllib.request
import uuid

import websocket

LONGEST = 300  # seconds for one cell


def main() -> None:
    """Open the page and the notebook, and run it."""
    url, token, notebook = sys.argv[1:]

    def ask(path: str, data: dict | None = None) -> bytes:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(f"{url}{path}", body, {"Authorization": f"token {token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    assert b"jupyter-config-data" in ask(f"lab/tree/{notebook}"), "it is JupyterLab's page"
    cells = json.loads(ask(f"api/contents/{notebook}"))["content"]["cells"]
    wanted = {"path": notebook, "name": "", "type": "notebook", "kernel": {"name": "python3"}}
    session = json.loads(ask("api/sessions", wanted))
    address = urllib.parse.urlsplit(url)._replace(scheme="ws").geturl()
    connection = websocket.create_connection(
        f"{address}api/kernels/{session['kernel']['id']}/channels?token={token}", timeout=LONGEST
    )
    ran = []
    for cell in cells:
        if cell["cell_type"] == "code" and cell["source"].strip():
            begin = time.monotonic()
            text, error = run(connection, cell["source"])
            took = time.monotonic() - begin
            ran.append({"source": cell["source"], "text": text, "error": error, "seconds": took})
            if error:
                break
    print(json.dumps(ran))
    connection.close()
    stop = urllib.request.Request(
        f"{url}api/sessions/{session['id']}",
        headers={"Authorization": f"token {token}"},
        method="DELETE",
    )
    urllib.request.urlopen(stop, timeout=60).close()


def run(connection: websocket.WebSocket, source: str) -> tuple[str, str]:
    """Run one cell: the plain text of what it gave, and its error; the messages are Jupyter's."""
    name = uuid.uuid4().hex
    header = {"msg_id": name, "msg_type": "execute_request", "username": "", "session": name,
              "date": "", "version": "5.3"}  # fmt: skip
    content = {"code": source, "silent": False, "store_history": True, "user_expressions": {},
               "allow_stdin": False, "stop_on_error": True}  # fmt: skip
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content,
               "channel": "shell", "buffers": []}  # fmt: skip
    connection.send(json.dumps(message))
    texts, error, waited = [], "", {"idle", "reply"}
    while waited:
        kind, data = connection.recv_data()
        if kind != websocket.ABNF.OPCODE_TEXT:  # a widget's buffers
            continue
        heard = json.loads(data)
        if heard["parent_header"].get("msg_id") != name:
            continue
        content = heard["content"]
        match heard["msg_type"]:
            case "stream":
                texts.append(content["text"])
            case "display_data" | "execute_result" | "update_display_data":
                texts.append(content["data"].get("text/plain", ""))
            case "error":
                error = f"{content['ename']}: {content['evalue']}"
            case "status" if content["execution_state"] == "idle":
                waited.discard("idle")
            case "execute_reply":
                waited.discard("reply")
    return "\n".join(texts), error


if __name__ == "__main__":
    main()
