"""A gRPC service in another language: grpcio, with reflection, that keeps a
ledger of what it was told and can be asked for it. Its descriptors are made
here, so that no compiler is needed.

    pip install grpcio grpcio-reflection
    python tests/python/grpc_guests.py [PORT]

says where it listens (`port 50052`), and ends when its input does.
"""

import sys
import threading
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection

PACKAGE = "shop.v1"
SERVICE = f"{PACKAGE}.GuestService"

FIELD = descriptor_pb2.FieldDescriptorProto
TEXT, NUMBER, MESSAGE = FIELD.TYPE_STRING, FIELD.TYPE_INT32, FIELD.TYPE_MESSAGE


def describe():
    """The service, and the messages that it takes and gives."""
    file = descriptor_pb2.FileDescriptorProto(
        name="shop/v1/guests.proto", package=PACKAGE, syntax="proto3"
    )

    def message(name, *fields):
        described = file.message_type.add(name=name)
        for number, (field, kind, of) in enumerate(fields, start=1):
            label = FIELD.LABEL_REPEATED if of else FIELD.LABEL_OPTIONAL
            added = described.field.add(name=field, number=number, type=kind, label=label)
            if of:
                added.type_name = f".{PACKAGE}.{of}"

    guest = [("name", TEXT, None), ("email", TEXT, None), ("visit_count", NUMBER, None)]
    others = ["badge", "company", "town", "country", "visit_date", "ticket"]
    message("CreateGuestRequest", *guest, *((name, TEXT, None) for name in others))
    message("Guest", ("id", TEXT, None), ("name", TEXT, None))
    message("Entry", *guest, ("key", TEXT, None), ("source", TEXT, None))
    message("LedgerRequest")
    message("Ledger", ("entries", MESSAGE, "Entry"))
    service = file.service.add(name="GuestService")
    for name, takes, gives in [
        ("CreateGuest", "CreateGuestRequest", "Guest"),
        ("GetLedger", "LedgerRequest", "Ledger"),
    ]:
        service.method.add(
            name=name, input_type=f".{PACKAGE}.{takes}", output_type=f".{PACKAGE}.{gives}"
        )
    pool = descriptor_pool.Default()
    pool.Add(file)
    return lambda name: message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{PACKAGE}.{name}")
    )


class Guests:
    """Takes every guest but those without an e-mail address."""

    def __init__(self, message):
        self.message = message
        self.ledger = message("Ledger")()
        self.lock = threading.Lock()

    def create(self, request, context):
        metadata = dict(context.invocation_metadata())
        if not request.email:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "email: is missing – ein Gast braucht eine")
        with self.lock:
            self.ledger.entries.add(
                name=request.name,
                email=request.email,
                visit_count=request.visit_count,
                key=metadata.get("idempotency-key", ""),
                source=metadata.get("x-source", ""),
            )
        return self.message("Guest")(id=f"g-{request.name}", name=request.name)

    def get_ledger(self, _request, _context):
        with self.lock:
            return self.ledger

    def handlers(self):
        def unary(method, takes, gives):
            return grpc.unary_unary_rpc_method_handler(
                method,
                request_deserializer=self.message(takes).FromString,
                response_serializer=self.message(gives).SerializeToString,
            )

        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "CreateGuest": unary(self.create, "CreateGuestRequest", "Guest"),
                "GetLedger": unary(self.get_ledger, "LedgerRequest", "Ledger"),
            },
        )


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((Guests(describe()).handlers(),))
    reflection.enable_server_reflection([SERVICE, reflection.SERVICE_NAME], server)
    wanted = sys.argv[1] if len(sys.argv) > 1 else "0"
    port = server.add_insecure_port(f"127.0.0.1:{wanted}")
    server.start()
    print(f"port {port}", flush=True)
    sys.stdin.read()
    server.stop(None)


main()
