"""What wraps components: graph, fan-out, queue, retry, timeout, circuit breaker, ledger."""
