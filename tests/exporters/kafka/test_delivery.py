"""What is promised of delivery: nothing lost, nothing twice, what is too large divided, and what the errors say."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.errors import RetryableError
from sluiceway.exporters.kafka.sending import Sending
from sluiceway.otlp import Batch, Signal, accept
from sluiceway.pipelines.observation import describe
from tests.exporters.backends import batch
from tests.exporters.kafka.test_messages import exporter, records
from tests.ports import free_port
from tests.servers.kafka import PASSWORD, USER, kafka_broker


def named(number: int, size: int = 0) -> Batch:
    """A batch of one span by its number."""
    message = TracesData()
    message.resource_spans.add().scope_spans.add().spans.add(name=f"{number}", trace_state="x" * size)
    return Batch.from_proto(message)


def names(broker, topic):
    """The names of all spans in a topic."""
    return [
        span.name
        for message in broker.messages(topic)
        for entry in accept(Signal.TRACES, message.value()).proto().resource_spans
        for scope in entry.scope_spans
        for span in scope.spans
    ]


async def persist(out, given):
    """What the parts around an exporter do: come again with the same batch until it is delivered."""
    attempts = 1
    while True:
        try:
            await out.consume(given)
        except RetryableError:
            attempts += 1
            await asyncio.sleep(0)
        else:
            return attempts


async def test_a_server_that_never_answers_is_named():
    """The cause has the address: it may hang, or speak something else."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        found = await failure(address, "")
    assert f"(no acknowledgement of 1 messages within 2s from {address})" in describe(found)


async def test_the_question_at_the_start_names_who_never_answers():
    """The cause has the address."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with exporter_to(address, "timeout: 500ms") as out:
            with pytest.raises(RetryableError) as caught:
                await out.check_backend()
    assert f"({address}: " in describe(caught.value)


async def test_a_certificate_for_another_name(tmp_path, ca):
    """Librdkafka has the same words as for a stranger's certificate, so both are named."""
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    with kafka_broker(tmp_path / "broker", certificate=ca.issue_cert("other.example")) as broker:
        found = await failure(broker.ssl, f"tls: {{ca_file: {tmp_path}/ca.pem}}")
    assert "see tls::ca_file" in found.advice
    assert f"it is not for {broker.ssl}: see brokers" in found.advice


async def test_a_broker_that_dies_and_comes_back_costs_nothing_and_makes_nothing_twice(tmp_path):
    """However many attempts end meanwhile by their timeout, each message is there once."""
    with kafka_broker(tmp_path) as broker:
        topic = broker.create_topic("spans")
        async with exporter(broker, f"traces: {{topic: {topic}}}, timeout: 300ms") as out:
            for number in range(20):
                await persist(out, named(number))
            under_way = asyncio.gather(*(persist(out, named(number)) for number in range(20, 220)))
            await asyncio.sleep(0)
            await asyncio.to_thread(broker.kill)
            more = asyncio.gather(*(persist(out, named(number)) for number in range(220, 300)))
            done, _ = await asyncio.wait({asyncio.ensure_future(more)}, timeout=1)
            assert not done
            await asyncio.to_thread(broker.start)
            await under_way
            assert max(await more) > 1
            assert len(out._unfinished) == 0
        found = names(broker, topic)
    assert sorted(map(int, found)) == list(range(300))


async def test_a_broker_that_hangs_makes_nothing_twice(tmp_path):
    """An attempt that ends by its timeout has sent its messages; the next one waits for them and sends none."""
    with kafka_broker(tmp_path) as broker:
        topic = broker.create_topic("spans")
        async with exporter(broker, f"traces: {{topic: {topic}}}, timeout: 300ms") as out:
            await persist(out, named(0))
            broker.pause()
            given = named(1)
            for _ in range(2):
                with pytest.raises(RetryableError, match=r'topic "spans": no acknowledgement of 1 messages within'):
                    await out.consume(given)
            broker.resume()
            await persist(out, given)
        assert names(broker, topic) == ["0", "1"]


async def test_two_pipelines_send_the_same_batch_each_for_itself(tmp_path):
    """Each has its own messages, and comes again for one of them."""
    with kafka_broker(tmp_path) as broker:
        topic = broker.create_topic("spans")
        async with exporter(broker, f"traces: {{topic: {topic}}}, timeout: 300ms") as out:
            await persist(out, named(0))
            broker.pause()
            given = named(1)
            failed = await asyncio.gather(out.consume(given), out.consume(given), return_exceptions=True)
            assert [type(error) for error in failed] == [RetryableError] * 2
            broker.resume()
            await asyncio.gather(persist(out, given), persist(out, given))
        assert names(broker, topic) == ["0", "1", "1"]


async def test_what_nobody_comes_back_for_is_forgotten(tmp_path):
    """A batch that was given up leaves nothing behind once the caller has let it go."""
    async with exporter_to(f"127.0.0.1:{free_port()}", "timeout: 50ms") as out:
        given = named(0)
        with pytest.raises(RetryableError):
            await out.consume(given)
        assert len(out._unfinished) == 1
        del given
        await asyncio.sleep(0)  # asyncio holds the cancellation until then
        gc.collect()
        assert len(out._unfinished) == 0
        out._config = out._config.model_copy(update={"attempt_timeout": 0.01})


async def test_only_what_failed_is_sent_again(broker, topic):
    """Of the messages of one batch those that arrived are not sent a second time."""
    name, missing = topic(), "comes-later"
    message = TracesData()
    for service in (name, missing):
        entry = message.resource_spans.add()
        entry.resource.attributes.add(key="service.name").value.string_value = service
        entry.scope_spans.add().spans.add(name=service)
    given = Batch.from_proto(message)
    yaml = "topic_from_attribute: service.name, timeout: 8s, producer: {allow_auto_topic_creation: false}"
    async with exporter(broker, yaml) as out:
        with pytest.raises(RetryableError, match=f'topic "{missing}": .*the topic is not there: create it') as caught:
            await out.consume(given)
        assert caught.value.code == "NOT_FOUND"
        broker.create_topic(missing)
        await persist(out, given)
    assert names(broker, name) == [name]
    assert names(broker, missing) == [missing]


async def test_a_full_queue_is_waited_for(broker, topic):
    """However much comes at once, no more is on its way than may be, and all of it arrives."""
    name = topic()
    yaml = f"traces: {{topic: {name}}}, producer: {{max_buffered_bytes: 8KiB, max_message_bytes: 4000}}"
    async with exporter(broker, yaml) as out:
        await asyncio.gather(*(out.consume(named(number, 1000)) for number in range(100)))
    assert sorted(map(int, names(broker, name))) == list(range(100))


async def test_what_is_too_large_is_split(broker, topic):
    """The pieces together hold what the batch holds, and none is larger than allowed."""
    name, given = topic(), batch(items=1000)
    async with exporter(broker, f"traces: {{topic: {name}}}, producer: {{max_message_bytes: 2000}}") as out:
        assert await out.consume(given) is None
    found = broker.messages(name)
    assert len(names(broker, name)) == 1000
    assert max(len(message.value()) for message in found) <= 2000
    assert len(found) < 2 * len(given.payload) / 2000


@pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
async def test_an_item_that_is_too_large_takes_no_other_with_it(broker, topic, encoding):
    """It comes back to be counted and kept; its neighbours arrive."""
    name = topic()
    message = TracesData()
    for number in range(100):
        spans = message.resource_spans.add().scope_spans.add().spans
        spans.add(name=f"{number}", trace_state="x" * (9000 if number == 50 else 10))
    yaml = f"traces: {{topic: {name}, encoding: {encoding}}}, producer: {{max_message_bytes: 4000}}"
    async with exporter(broker, yaml) as out:
        partial = await out.consume(Batch.from_proto(message))
    assert partial.rejected == partial.batch.items == 1
    assert partial.batch.proto().resource_spans[0].scope_spans[0].spans[0].name == "50"
    assert f'topic "{name}": a single item makes a message larger than producer::max_message_bytes' in partial.message
    assert len(broker.messages(name)) > 1


async def test_a_topic_that_takes_less_than_we_think_gets_less(broker, topic):
    """What the broker refuses for its size goes in halves; a single item that it refuses comes back."""
    name = topic(max_message_bytes="3000")
    message = TracesData()
    spans = message.resource_spans.add().scope_spans.add().spans
    for number in range(200):
        spans.add(name=f"{number}", trace_state="x" * (5000 if number == 77 else 20))
    async with exporter(broker, f"traces: {{topic: {name}}}") as out:
        others = [out.consume(named(number)) for number in range(1000, 1100)]
        partial, *rest = await asyncio.gather(out.consume(Batch.from_proto(message)), *others)
        assert out._context.telemetry.metrics.read("sluiceway_kafka_exporter_divided_messages") > 1
    assert partial.rejected == 1
    assert "larger than the topic's max.message.bytes" in partial.message
    assert rest == [None] * 100
    expected = [*range(77), *range(78, 200), *range(1000, 1100)]
    assert sorted(map(int, names(broker, name))) == expected


async def test_single_records_that_share_a_request_are_not_too_large(broker, topic):
    """A topic's limit is one for all messages of a request together: each goes by itself before it is judged."""
    name = topic(max_message_bytes="1200")
    given = records(*({"string_value": "x" * 500} for _ in range(50)))
    async with exporter(broker, f"logs: {{topic: {name}, encoding: text}}", Signal.LOGS) as out:
        assert await out.consume(given) is None
    assert len(broker.messages(name)) == 50


async def test_what_a_broker_will_never_take_comes_back(broker, topic):
    """A compacted topic takes no message without a key; those with one in the same request arrive."""
    name = topic(cleanup_policy="compact")
    message = TracesData()
    for number in range(5):
        entry = message.resource_spans.add()
        if number != 2:
            entry.resource.attributes.add(key="k").value.string_value = f"key {number}"
        entry.scope_spans.add().spans.add(name=f"{number}")
    async with exporter(broker, f"traces: {{topic: {name}}}, message_key_from_attribute: k") as out:
        partial = await out.consume(Batch.from_proto(message))
    assert (partial.rejected, partial.batch.items) == (1, 1)
    assert partial.batch.proto().resource_spans[0].scope_spans[0].spans[0].name == "2"
    assert sorted(map(int, names(broker, name))) == [0, 1, 3, 4]


def exporter_to(address, yaml, **context):
    """The exporter to an address."""
    from types import SimpleNamespace

    return exporter(SimpleNamespace(bootstrap=address), yaml, **context)


async def failure(address, yaml):
    """What the first attempt raises."""
    async with exporter_to(address, f"timeout: 2s, {yaml}") as out:
        with pytest.raises(RetryableError) as caught:
            await out.consume(batch())
        out._config = out._config.model_copy(update={"attempt_timeout": 0.01})
    return caught.value


async def test_nobody_listens():
    """The error has the address and the settings."""
    address = f"127.0.0.1:{free_port()}"
    found = await failure(address, "")
    assert address in str(found)
    assert "Connection refused" in str(found)
    assert "nobody listens there: see brokers" in str(found)
    assert found.code == "UNAVAILABLE"


async def test_a_name_that_is_not_known():
    """The error has the name."""
    found = await failure("kafka.invalid:9092", "")
    assert "kafka.invalid" in str(found)
    assert "see brokers" in str(found)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_wrong_password(broker, mechanism, caplog):
    """The data waits, the error names the setting, and nobody sees the password."""
    caplog.set_level(logging.DEBUG)
    sasl = f"auth: {{sasl: {{username: {USER}, password: s3cret-canary, mechanism: {mechanism}}}}}"
    found = await failure(broker.sasl, sasl)
    assert "see auth::sasl (username, password, mechanism)" in str(found)
    assert "s3cret-canary" not in str(found) + caplog.text


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_password_over_tls(broker, topic, ca, tmp_path, mechanism):
    """Encrypted, with the authority from a file."""
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    name = topic()
    yaml = (
        f"traces: {{topic: {name}}}, tls: {{ca_file: {tmp_path}/ca.pem}}, "
        f'auth: {{sasl: {{username: {USER}, password: "{PASSWORD}", mechanism: {mechanism}}}}}'
    )
    async with exporter_to(broker.sasl_ssl, yaml) as out:
        await out.consume(batch())
    assert len(broker.messages(name)) == 1


async def test_the_older_way_to_give_a_password(broker, topic):
    """`plain_text` is SASL/PLAIN."""
    name = topic()
    yaml = f'traces: {{topic: {name}}}, auth: {{plain_text: {{username: {USER}, password: "{PASSWORD}"}}}}'
    async with exporter_to(broker.sasl, yaml) as out:
        await out.consume(batch())
    assert len(broker.messages(name)) == 1


async def test_a_certificate_of_nobody_who_is_trusted(broker):
    """The error names the setting."""
    found = await failure(broker.ssl, "tls: {}")
    assert "tls::ca_file" in str(found)


@pytest.mark.parametrize("tls", ["insecure_skip_verify: true", "ca_pem: '{pem}'"])
async def test_tls_without_a_file(broker, topic, ca, tls):
    """The authority may stand in the configuration, and verification can be switched off."""
    name, pem = topic(), ca.cert_pem.bytes().decode().replace("\n", "\n\n")
    async with exporter_to(broker.ssl, f"traces: {{topic: {name}}}, tls: {{{tls.format(pem=pem)}}}") as out:
        await out.consume(batch())
    assert len(broker.messages(name)) == 1


async def test_plain_text_to_a_port_that_speaks_tls(broker):
    """The error says what to look at."""
    assert "tls" in str(await failure(broker.ssl, ""))


async def test_no_password_for_a_port_that_asks_for_one(broker):
    """The error says what to look at."""
    assert "auth" in str(await failure(broker.sasl, ""))


def seen(producer):
    """The messages that a producer is handed from now on."""
    handed, send = [], producer.send
    producer.send = lambda message: (handed.append(message), send(message))[1]
    return handed


async def test_a_producer_that_failed_for_good_gets_a_successor(broker, topic):
    """What it had is reported as failed and sent again by the new one."""
    from confluent_kafka import KafkaError

    name, given = topic(), named(7)
    async with exporter(broker, f"traces: {{topic: {name}}}") as out:
        first = out._producers[False]
        await out.consume(named(6))
        handed = seen(first)
        waiting = asyncio.ensure_future(out.consume(given))
        while not len(first):  # noqa: ASYNC110 - handing over takes a few turns of the loop
            await asyncio.sleep(0)
        (message,) = handed
        out._settle(first, [(message, KafkaError(KafkaError._FATAL, "fenced", fatal=True))])
        message.sending = Sending([], [])  # the real report goes nowhere
        message.sending.on_the_way = 1
        with pytest.raises(RetryableError, match="fenced"):
            await waiting
        await out.consume(given)
        assert out._producers[False] is not first
    assert set(names(broker, name)) == {"6", "7"}


async def test_a_fault_in_the_end_of_a_replaced_producer_is_not_lost(broker, topic):
    """Whoever leaves the exporter is told."""
    ends = []

    async def fail(seconds: float) -> int:
        raise ValueError(seconds)

    async def live():
        async with exporter(broker, f"traces: {{topic: {topic()}}}") as out:
            first = out._producers[False]
            ends.append(first.close)
            first.close = fail
            out._replace("a test")
            await out.consume(batch())

    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await live()
    assert await ends[0](1) == 0


async def test_closing_waits_for_what_is_on_its_way(broker, topic):
    """An attempt that was cancelled has handed its messages over, and they arrive before the end."""
    name = topic()
    async with exporter(broker, f"traces: {{topic: {name}}}, producer: {{linger: 500ms}}") as out:
        waiting = asyncio.ensure_future(out.consume(batch()))
        while not len(out._producers[False]):  # noqa: ASYNC110 - handing over takes a few turns of the loop
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
    assert len(broker.messages(name)) == 1
