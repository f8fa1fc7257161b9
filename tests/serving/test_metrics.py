from heedful.serving.metrics import Metrics


def test_what_is_counted_is_told():
    metrics = Metrics(lambda: 7, batch=5)
    metrics.answered("/predict", 200, 0.02)
    metrics.answered("/predict", 504, 60)
    metrics.answered("/explain", 408, 60)
    metrics.worked(3, 0.5)
    lines = metrics.text().decode().splitlines()
    for each in (
        "heedful_queue_inputs 7.0",
        'heedful_request_seconds_bucket{le="0.01",path="/predict"} 0.0',
        'heedful_request_seconds_bucket{le="0.025",path="/predict"} 1.0',
        'heedful_request_seconds_count{path="/predict"} 1.0',  # of those answered
        'heedful_refused_total{reason="time"} 2.0',
        'heedful_requests_total{path="/explain",status="408"} 1.0',
        'heedful_batch_inputs_bucket{le="2.0"} 0.0',
        'heedful_batch_inputs_bucket{le="4.0"} 1.0',
        "heedful_model_seconds_total 0.5",
    ):
        assert each in lines
    assert any(line.startswith('heedful_batch_inputs_bucket{le="8.0"}') for line in lines)


def test_servers_do_not_share_their_counts():
    one, other = Metrics(lambda: 0, batch=1), Metrics(lambda: 0, batch=1)
    one.answered("/predict", 422, 0)
    assert b'heedful_refused_total{reason="input"} 1.0' in one.text()
    assert b'heedful_refused_total{reason="input"} 0.0' in other.text()
