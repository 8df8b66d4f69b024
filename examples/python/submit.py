"""Submits guests to a running Flowgate: a few at once, then many as a stream.

    pip install grpcio grpcio-tools googleapis-common-protos
    mkdir -p target/python
    python -m grpc_tools.protoc -I proto --python_out=target/python \\
        --grpc_python_out=target/python proto/flowgate/v1/*.proto
    PYTHONPATH=target/python python examples/python/submit.py 127.0.0.1:50051 guests
"""

import json
import sys

import grpc
from flowgate.v1 import batch_pb2, batch_service_pb2, batch_service_pb2_grpc, item_pb2
from google.rpc import error_details_pb2


def item(number: int) -> item_pb2.Item:
    guest = {
        "name": f"Guest {number}",
        "town": "Porto",
        # Every tenth has none, to show a failure.
        "email": f"guest{number}@example.com" if number % 10 != 1 else "",
        "visit_date": "2026-11-03",
    }
    return item_pb2.Item(
        id=f"row-{number}",
        payload=item_pb2.Payload(json_text=json.dumps(guest)),
    )


def show(result: item_pb2.ItemResult) -> None:
    if result.WhichOneof("outcome") == "success":
        print(f"  {result.id}: {result.success.target_status}")
    else:
        failure = result.failure
        kind = item_pb2.FailureKind.Name(failure.kind)
        print(f"  {result.id}: {kind}: {failure.error.message}")
        for detail in failure.error.details:
            named = error_details_pb2.BadRequest()
            if detail.Unpack(named):
                for violation in named.field_violations:
                    print(f"    {violation.field} {violation.description}")


def submit_and_wait(batches, target: str) -> None:
    """Up to 1,000 items in one call, which waits for the results."""
    response = batches.BatchSubmit(
        batch_service_pb2.BatchSubmitRequest(
            spec=batch_pb2.BatchSpec(target=target),
            items=[item(n) for n in range(3)],
            all_failed_is_ok=True,
        ),
        timeout=30,
    )
    print("batch", response.batch.id, batch_pb2.BatchState.Name(response.batch.state))
    for result in response.results:
        show(result)


def submit_as_a_stream(batches, target: str, count: int) -> None:
    """Any number of items; results come back while items still go out."""

    def requests():
        request = batch_service_pb2.BatchSubmitStreamRequest
        spec = batch_pb2.BatchSpec(target=target)
        yield request(open=batch_service_pb2.BatchOpen(spec=spec, all_failed_is_ok=True))
        for first in range(0, count, 50):
            items = [item(n) for n in range(first, min(first + 50, count))]
            # The offset makes it harmless to send an append again.
            yield request(append=batch_service_pb2.BatchAppend(items=items, offset=first))
        yield request(seal=batch_service_pb2.BatchSeal(count=count))

    for response in batches.BatchSubmitStream(requests()):
        kind = response.WhichOneof("message")
        if kind == "accepted":
            print("held:", response.accepted.items_held, "batch", response.accepted.batch_id)
        elif kind == "event":
            what = response.event.WhichOneof("kind")
            if what == "progress":
                progress = response.event.progress
                print(f"{progress.completed} of {progress.total}, {progress.failed} failed")
            elif what == "finished":
                print("finished:", batch_pb2.BatchState.Name(response.event.finished.state))


def main() -> None:
    address, target = sys.argv[1:3]
    with grpc.insecure_channel(address) as channel:
        batches = batch_service_pb2_grpc.BatchServiceStub(channel)
        submit_and_wait(batches, target)
        submit_as_a_stream(batches, target, 120)


if __name__ == "__main__":
    main()
