"""An app's life through PyPI's marathon: create, read, scale, change, go back, restart, kill, delete.

usage: life.py URL TOKEN        (marathon 0.13 and requests must be importable)
Prints what happened, a line each, and exits with 0 if all of it did.
"""
import collections
import collections.abc
import sys
import threading
import time

# marathon 0.13 still looks for it where Python had it until 3.9.
collections.Iterable = collections.abc.Iterable

import marathon
from marathon import MarathonClient
from marathon.models import MarathonApp

LIMIT_SECONDS = 60


def until(what, is_so):
    end = time.time() + LIMIT_SECONDS
    while time.time() < end:
        found = is_so()
        if found:
            print(what, flush=True)
            return found
        time.sleep(0.1)
    sys.exit("it never came: " + what)


def settled(client, deployment):
    return lambda: all(one.id != deployment for one in client.list_deployments())


def main():
    url, token = sys.argv[1:]
    client = MarathonClient(url, auth_token=token)
    assert client.ping() == b"pong"
    info = client.get_info()
    assert info.version == "1.6.0" and info.elected is True, info
    assert client.get_leader()["leader"] in url
    events = []

    def listen():
        for event in client.event_stream(raw=True):
            events.append(event)

    threading.Thread(target=listen, daemon=True).start()
    until("events flow", lambda: events)

    app = MarathonApp(cmd="exec sleep 1000", cpus=0.01, mem=16, instances=2,
                      env={"LEVEL": "info"}, labels={"team": "images"},
                      port_definitions=[{"port": 0, "protocol": "tcp", "name": "http"}])
    created = client.create_app("/web", app)
    assert created.id == "/web" and created.instances == 2, created
    until("two tasks run", lambda: client.get_app("/web").tasks_running == 2)
    until("no deployment is left", lambda: not client.list_deployments())
    shown = client.get_app("/web")
    assert shown.cmd == "exec sleep 1000" and shown.env == {"LEVEL": "info"}, shown
    assert shown.labels == {"team": "images"} and len(shown.tasks) == 2, shown
    first = shown.version
    assert [one.id for one in client.list_apps(embed_tasks=True)] == ["/web"]

    answer = client.scale_app("/web", instances=3)
    until("three tasks run", lambda: client.get_app("/web").tasks_running == 3)
    until("scaling is over", settled(client, answer["deploymentId"]))
    tasks = client.list_tasks("/web")
    assert len(tasks) == 3 and all(len(task.ports) == 1 and task.host for task in tasks), tasks
    assert len(client.list_endpoints()) == 3

    answer = client.update_app("/web", MarathonApp(cmd="exec sleep 2000"))
    until("the change is over", settled(client, answer["deploymentId"]))
    until("three tasks run again", lambda: client.get_app("/web").tasks_running == 3)
    shown = client.get_app("/web")
    assert shown.cmd == "exec sleep 2000" and shown.labels == {"team": "images"}, shown
    versions = client.list_versions("/web")
    assert first in versions and shown.version in versions, versions
    assert client.get_version("/web", first).cmd == "exec sleep 1000"

    answer = client.rollback_app("/web", first)
    until("going back is over", settled(client, answer["deploymentId"]))
    assert client.get_app("/web").cmd == "exec sleep 1000"

    killed = client.kill_task("/web", client.list_tasks("/web")[0].id)
    gone = killed.id
    until("a killed task is replaced", lambda: (
        gone not in [task.id for task in client.list_tasks("/web")]
        and client.get_app("/web").tasks_running == 3))

    answer = client.restart_app("/web")
    until("the restart is over", settled(client, answer["deploymentId"]))

    try:
        client.create_app("/big", MarathonApp(cmd="x", user="nobody", gpus=2))
        sys.exit("what isn't supported was accepted")
    except marathon.MarathonHttpError as error:
        paths = [one["path"] for one in error.error_details]
        assert error.status_code == 422 and paths == ["/gpus", "/user"], error.error_details
    print("what isn't supported is refused")

    # More than this machine has.
    client.create_app("/wide", MarathonApp(cmd="x", cpus=100000, instances=1))
    queue = until("it waits in the queue", client.list_queue)
    assert queue[0].app.id == "/wide" and queue[0].count == 1, queue
    client.delete_app("/wide")

    client.delete_app("/web")
    until("nothing is left", lambda: not client.list_apps())
    try:
        client.get_app("/web")
        sys.exit("a deleted app is there")
    except marathon.NotFoundError:
        pass
    for kind in ("deployment_info", "deployment_success", "status_update_event"):
        assert any('"%s"' % kind in event for event in events), (kind, events)
    print("events told of it")


main()
