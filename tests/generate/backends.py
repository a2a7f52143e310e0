"""Servers on loopback that answer as they are told, and keep what they get."""

import asyncio
from contextlib import asynccontextmanager

import grpc


@asynccontextmanager
async def backend(answer):
    """A gRPC server that gives each request to `answer(request, context)`; None for it is OK without a message."""
    got = []

    class Exports(grpc.GenericRpcHandler):
        def service(self, details):
            async def export(request, context):
                got.append((details.method, request, dict(context.invocation_metadata())))
                return await answer(len(got), context)

            async def silence(request, context):
                for message in ():
                    yield message

            if answer is None:
                return grpc.unary_stream_rpc_method_handler(silence)
            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Exports(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}", got
    await server.stop(None)


@asynccontextmanager
async def http_backend(*answers):
    """An HTTP server that gives the answers in turn, and the last one for ever."""
    got = []

    async def serve(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
                body = await reader.readexactly(int(headers["content-length"]))
                status, more, text = answers[min(len(got), len(answers) - 1)]
                got.append((lines[0], headers, body))
                writer.write(f"HTTP/1.1 {status} x\r\n{more}Content-Length: {len(text)}\r\n\r\n".encode() + text)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", got
    server.close()
    await server.wait_closed()


async def accept_all(number, context):
    """Take every request."""
    return b""
