"""A client in another language against the real binary: grpcio, with stubs
generated from the contract, unary and bidirectional.

    python tests/python/test_client.py target/release/flowgate
"""

import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def generate_stubs(folder):
    from grpc_tools import protoc

    protos = [
        os.path.join(ROOT, "proto", "flowgate", "v1", name)
        for name in sorted(os.listdir(os.path.join(ROOT, "proto", "flowgate", "v1")))
    ]
    arguments = ["protoc", "-I", os.path.join(ROOT, "proto")]
    arguments += ["-I", os.path.join(os.path.dirname(protoc.__file__), "_proto")]
    arguments += [f"--python_out={folder}", f"--grpc_python_out={folder}", *protos]
    assert protoc.main(arguments) == 0, "protoc could not compile the contract"
    sys.path.insert(0, folder)


class Target(BaseHTTPRequestHandler):
    """Takes every guest but those without an e-mail, and remembers each."""

    protocol_version = "HTTP/1.1"
    seen = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        guest = json.loads(body)
        Target.seen.append((guest, self.headers.get("idempotency-key")))
        if guest.get("email"):
            self.answer(201, {"id": f"g-{len(Target.seen)}"})
        else:
            self.answer(422, {"errors": {"email": ["is missing"]}})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class TargetServer(ThreadingHTTPServer):
    # With the usual 5, connections that come at once beyond that wait for the
    # client's system to try again, which on a busy machine takes a minute.
    request_queue_size = 512


CONFIG = """
[server]
listen = "127.0.0.1:0"

[store]
path = "flowgate.db"

[targets.guests]
kind = "http"
url = "http://127.0.0.1:{port}"
path = "/guests"
limits = ["1000/s"]
idempotency_header = "Idempotency-Key"
"""


class Flowgate:
    """The real binary, on a port of its own."""

    def __init__(self, binary, folder, port):
        config = os.path.join(folder, "flowgate.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(port=port))
        self.process = subprocess.Popen(
            [binary, "serve", "--config", config],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )
        said = []
        for line in self.process.stderr:
            said.append(line)
            found = re.search(r"serving.*?(127\.0\.0\.1:\d+)", line)
            if found:
                self.address = found.group(1)
                break
        else:
            raise AssertionError("the server did not start:\n" + "".join(said))
        # Or it blocks once the pipe is full.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=30) == 0, "SIGTERM drains and exits with 0"


def guest(number, email=True):
    from flowgate.v1 import item_pb2

    record = {"name": f"Guest {number}"}
    if email:
        record["email"] = f"guest{number}@example.com"
    return item_pb2.Item(
        id=f"row-{number}", payload=item_pb2.Payload(json_text=json.dumps(record))
    )


def unary_answers_with_a_result_for_each_item(batches):
    from flowgate.v1 import batch_pb2, batch_service_pb2, item_pb2

    response = batches.BatchSubmit(
        batch_service_pb2.BatchSubmitRequest(
            spec=batch_pb2.BatchSpec(target="guests", labels={"show": "2026"}),
            items=[guest(0), guest(1, email=False), guest(2)],
        ),
        timeout=20,
    )
    assert response.batch.state == batch_pb2.BATCH_STATE_PARTIALLY_SUCCEEDED, response
    assert [r.WhichOneof("outcome") for r in response.results] == ["success", "failure", "success"]
    failure = response.results[1].failure
    assert failure.kind == item_pb2.FAILURE_KIND_REJECTED, failure
    assert failure.target_status == 422
    reply = json.loads(response.results[0].success.reply.json_text)
    assert reply["id"].startswith("g-"), reply
    keys = [key for _, key in Target.seen]
    assert keys and all(key.startswith(f"flowgate-{response.batch.id}-") for key in keys), keys


def an_error_has_its_reason_and_says_what_would_be_right(batches):
    import grpc
    from flowgate.v1 import batch_pb2, batch_service_pb2
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    spec = batch_pb2.BatchSpec(target="guest")
    try:
        batches.BatchSubmit(batch_service_pb2.BatchSubmitRequest(spec=spec, items=[guest(1)]))
        raise AssertionError("there is no such target")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        status = rpc_status.from_call(error)
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        assert (info.reason, info.domain) == ("TARGET_NOT_FOUND", "flowgate"), info
        assert "ListTargets" in error.details()


def a_stream_takes_items_while_it_tells_results(batches):
    from flowgate.v1 import batch_pb2, batch_service_pb2

    request = batch_service_pb2.BatchSubmitStreamRequest
    outbox = queue.Queue()
    responses = batches.BatchSubmitStream(iter(outbox.get, None), timeout=60)
    outbox.put(
        request(open=batch_service_pb2.BatchOpen(spec=batch_pb2.BatchSpec(target="guests")))
    )
    accepted = next(responses).accepted
    assert accepted.batch_id and accepted.items_held == 0
    outbox.put(
        request(append=batch_service_pb2.BatchAppend(items=[guest(n) for n in range(60)], offset=0))
    )
    # Results come before the rest has been sent: that it goes on only then is
    # the point.
    results = {}
    held = 0
    while len(results) < 60:
        response = next(responses)
        held = max(held, response.accepted.items_held)
        for result in response.event.results.results:
            assert result.index not in results, "told twice"
            results[result.index] = result
    outbox.put(
        request(
            append=batch_service_pb2.BatchAppend(
                items=[guest(n, email=n % 10 != 0) for n in range(60, 100)], offset=60
            )
        )
    )
    outbox.put(request(seal=batch_service_pb2.BatchSeal(count=100)))
    outbox.put(None)
    sequences = []
    finished = None
    for response in responses:
        held = max(held, response.accepted.items_held)
        if response.WhichOneof("message") == "event":
            sequences.append(response.event.sequence)
        for result in response.event.results.results:
            assert result.index not in results, "told twice"
            results[result.index] = result
        if response.event.WhichOneof("kind") == "finished":
            finished = response.event.finished
    assert held == 100
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences))), "no gaps"
    assert sorted(results) == list(range(100))
    assert (finished.progress.succeeded, finished.progress.failed) == (96, 4), finished
    # And again, from the log.
    again = [
        response.event
        for response in batches.WatchBatch(
            batch_service_pb2.WatchBatchRequest(batch_id=accepted.batch_id, cursor=0), timeout=30
        )
    ]
    assert [event.sequence for event in again] == list(range(1, len(again) + 1))
    assert again[-1].finished == finished


def finished(batches, batch_id):
    from flowgate.v1 import batch_service_pb2

    watched = batches.WatchBatch(
        batch_service_pb2.WatchBatchRequest(batch_id=batch_id), timeout=60
    )
    return [response.event for response in watched][-1].finished


def what_is_held_goes_on_and_what_came_too_late_goes_in_again(batches, targets):
    from flowgate.v1 import batch_pb2, batch_service_pb2, item_pb2, target_service_pb2
    from google.protobuf import timestamp_pb2

    held = targets.PauseTarget(
        target_service_pb2.PauseTargetRequest(name="guests", reason="upgrade")
    ).target.status
    assert held.held_since.seconds > 0 and "upgrade" in held.pause_reason, held
    submitted = batches.BatchSubmit(
        batch_service_pb2.BatchSubmitRequest(
            spec=batch_pb2.BatchSpec(target="guests"), items=[guest(0), guest(1)], wait=False
        )
    ).batch
    request = batch_service_pb2.PauseBatchRequest(batch_id=submitted.id)
    paused = batches.PauseBatch(request).batch
    assert paused.state == batch_pb2.BATCH_STATE_PAUSED, paused
    assert paused.progress.waiting.reason == "the batch is paused", paused
    targets.ResumeTarget(target_service_pb2.ResumeTargetRequest(name="guests"))
    batches.ResumeBatch(batch_service_pb2.ResumeBatchRequest(batch_id=submitted.id))
    assert finished(batches, submitted.id).state == batch_pb2.BATCH_STATE_SUCCEEDED

    late = batches.BatchSubmit(
        batch_service_pb2.BatchSubmitRequest(
            spec=batch_pb2.BatchSpec(
                target="guests", deadline=timestamp_pb2.Timestamp(seconds=1_700_000_000)
            ),
            items=[guest(2), guest(3)],
            all_failed_is_ok=True,
        ),
        timeout=20,
    )
    assert late.batch.stopped_by == batch_pb2.STOPPED_BY_DEADLINE, late
    kinds = [result.failure.kind for result in late.results]
    assert kinds == [item_pb2.FAILURE_KIND_EXPIRED] * 2, late
    request = batch_service_pb2.RetryBatchRequest(batch_id=late.batch.id)
    retried = [batches.RetryBatch(request).batch.id for _ in range(2)]
    assert retried[0] == retried[1] != late.batch.id, "the same new batch, each time"
    assert finished(batches, retried[0]).progress.succeeded == 2


def the_example_of_the_readme_works(address, stubs):
    example = os.path.join(ROOT, "examples", "python", "submit.py")
    run = subprocess.run(
        [sys.executable, example, address, "guests"],
        env={**os.environ, "PYTHONPATH": stubs},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for line in [
        "  row-0: 201",
        "    payload.email is missing",
        "120 of 120, 12 failed",
        "finished: BATCH_STATE_PARTIALLY_SUCCEEDED",
    ]:
        assert line in run.stdout.splitlines(), (line, run.stdout)


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        generate_stubs(folder)
        import grpc
        from flowgate.v1 import batch_service_pb2_grpc, target_service_pb2_grpc

        target = TargetServer(("127.0.0.1", 0), Target)
        threading.Thread(target=target.serve_forever, daemon=True).start()
        flowgate = Flowgate(binary, folder, target.server_port)
        tests = [
            unary_answers_with_a_result_for_each_item,
            an_error_has_its_reason_and_says_what_would_be_right,
            a_stream_takes_items_while_it_tells_results,
        ]
        with grpc.insecure_channel(flowgate.address) as channel:
            batches = batch_service_pb2_grpc.BatchServiceStub(channel)
            for test in tests:
                test(batches)
                print("ok", test.__name__)
            targets = target_service_pb2_grpc.TargetServiceStub(channel)
            what_is_held_goes_on_and_what_came_too_late_goes_in_again(batches, targets)
            print("ok", what_is_held_goes_on_and_what_came_too_late_goes_in_again.__name__)
        the_example_of_the_readme_works(flowgate.address, folder)
        print("ok", the_example_of_the_readme_works.__name__)
        flowgate.stop()
        print(f"{len(tests) + 2} passed, 0 failed")


if __name__ == "__main__":
    main()
