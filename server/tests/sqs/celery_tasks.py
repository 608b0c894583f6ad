"""Tasks of Celery over kombu's SQS transport: a worker in this process does them. The argument is the
endpoint's URL."""

import sys
import threading

from celery import Celery
from celery.contrib.testing.worker import start_worker

endpoint = sys.argv[1]
app = Celery("tasks", broker=endpoint.replace("http://", "sqs://test:test@"))
app.conf.update(
    broker_transport_options={
        "region": "us-east-1",
        "is_secure": False,
        "wait_time_seconds": 1,
        "polling_interval": 0.1,
        "visibility_timeout": 60,
    },
    task_default_queue="celery",
    broker_connection_retry_on_startup=False,
    worker_enable_remote_control=False,
    task_ignore_result=True,
    task_acks_late=True,
)
lock, sums, done = threading.Lock(), [], threading.Event()


@app.task
def add(a, b):
    with lock:
        sums.append(a + b)
        if len(sums) == 20:
            done.set()


@app.task(bind=True, max_retries=1)
def tried_twice(self):
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    with lock:
        sums.append("retried")
    retried.set()


retried = threading.Event()
for i in range(20):
    add.delay(i, i)
with start_worker(app, pool="threads", concurrency=2, perform_ping_check=False, loglevel="ERROR"):
    assert done.wait(60), f"after a minute {sums} are done"
    print("ok twenty tasks are done, each once")
    tried_twice.delay()
    assert retried.wait(60), "the task was not tried again"
    print("ok a task is tried again")
assert sorted(sums[:20]) == [2 * i for i in range(20)], sums
