"""A server on loopback that answers `wandb sync` as far as that asks, and keeps what it is sent."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Received:
    """What the server was sent.

    Attributes:
        url: Of the server.
        runs: Variables of each UpsertBucket, by the run's id.
        history: What was logged, by the run's id.
        exits: Exit codes, by the run's id.
        artifacts: Variables of each artifact that was made.
        files: Names of files that were asked to be stored.
        stored: Bytes of files, by where they went.
        asked: Names of all GraphQL operations.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.runs: dict[str, list[dict]] = {}
        self.history: dict[str, dict[int, dict]] = {}
        self.exits: dict[str, int] = {}
        self.artifacts: list[dict] = []
        self.files: list[str] = []
        self.stored: dict[str, bytes] = {}
        self.asked: list[str] = []

    def answer(self, operation: str, variables: dict) -> dict:
        """The data that a GraphQL operation gets."""
        variables = variables.get("input", variables)
        self.asked.append(operation)
        if operation == "UpsertBucket":
            name = variables["name"]
            known = name in self.runs
            self.runs.setdefault(name, []).append(variables)
            project = {"name": variables["project"], "entity": {"name": "me"}}
            bucket = {"id": name, "name": name, "displayName": variables.get("displayName"),
                      "description": None, "config": "{}", "sweepName": None, "project": project,
                      "historyLineCount": 0}  # fmt: skip
            return {"upsertBucket": {"bucket": bucket, "inserted": not known}}
        if operation == "RunResumeStatus":
            lines = self.history.get(variables["name"])
            if lines is None:
                return {"model": {"id": "p", "name": variables["project"], "entity":
                                  {"id": "e", "name": "me"}, "bucket": None}}  # fmt: skip
            tail = [json.dumps(lines[max(lines)])]
            bucket = {"id": variables["name"], "name": variables["name"], "summaryMetrics": "{}",
                      "displayName": None, "logLineCount": 0, "historyLineCount": len(lines),
                      "eventsLineCount": 0, "historyTail": json.dumps(tail), "eventsTail": "[]",
                      "config": "{}", "tags": [], "notes": None,
                      "wandbConfig": "{\"t\": 1}"}  # fmt: skip
            return {"model": {"id": "p", "name": variables["project"], "entity":
                              {"id": "e", "name": "me"}, "bucket": bucket}}  # fmt: skip
        if operation == "CreateArtifact":
            self.artifacts.append(variables)
            number = str(len(self.artifacts))
            made = {"id": f"artifact{number}", "state": "PENDING", "artifactSequence":
                    {"id": f"sequence{number}", "latestArtifact": None}}  # fmt: skip
            return {"createArtifact": {"artifact": made}}
        if operation == "CreateArtifactManifest":
            place = {"id": "manifest", "displayName": "wandb_manifest.json",
                     "uploadUrl": f"{self.url}/store/manifest{len(self.asked)}",
                     "uploadHeaders": []}  # fmt: skip
            return {"createArtifactManifest": {"artifactManifest": {"id": "manifest",
                                                                    "file": place}}}  # fmt: skip
        if operation == "CreateArtifactFiles":
            edges = [
                {"node": {"id": one["name"], "name": one["name"], "displayName": one["name"],
                          "uploadUrl": f"{self.url}/store/artifact/{one['name']}",
                          "uploadHeaders": [], "storagePath": None,
                          "uploadMultipartUrls": None, "artifact": {"id": one["artifactID"]}}}
                for one in variables["artifactFiles"]
            ]  # fmt: skip
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        if operation == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": variables["artifactID"],
                                                    "digest": "digest"}}}  # fmt: skip
        if operation == "CreateRunFiles":
            self.files += variables["files"]
            files = [
                {"name": name, "uploadUrl": f"{self.url}/store/{name}"}
                for name in variables["files"]
            ]
            return {"createRunFiles": {"runID": "run", "uploadHeaders": [], "files": files}}
        return {}

    def take_stream(self, run: str, sent: dict) -> None:
        """Lines of a run's files."""
        history = sent.get("files", {}).get("wandb-history.jsonl", {"offset": 0, "content": []})
        for number, line in enumerate(history["content"], history["offset"]):
            self.history.setdefault(run, {})[number] = json.loads(line)
        if sent.get("complete") is not None:
            self.exits[run] = sent["exitcode"]


@contextmanager
def wandb_server() -> Iterator[Received]:
    """The server, as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent = json.loads(body)
            if self.path.endswith("/graphql"):
                operation = re.search(r"(?:query|mutation)\s+(\w+)", sent["query"])[1]
                self.reply({"data": received.answer(operation, sent.get("variables") or {})})
            else:
                received.take_stream(self.path.split("/")[-2], sent)
                self.reply({"exitcode": None, "limits": {}})

        def do_PUT(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.stored[self.path] = body
            self.reply({})

        def do_GET(self):
            self.reply({})

        def reply(self, content):
            data = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Received(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
