"""Completes a task's life through pymesos: offers, launch, running, kill, reconciliation, teardown.

usage: life.py HOST:PORT        (pymesos, http-parser, addict and six must be importable)
Prints what happened, a word a line, and exits with 0 if all of it did within a minute.
"""
import sys
import threading
import time
import uuid

from pymesos import MesosSchedulerDriver, Scheduler

LIMIT_SECONDS = 60


class Life(Scheduler):
    def __init__(self):
        self.seen = []
        self.task = uuid.uuid4().hex
        self.agent = None
        self.done = threading.Event()

    def see(self, word):
        self.seen.append(word)
        print(word, flush=True)

    def registered(self, driver, framework_id, master_info):
        self.see("registered")

    def resourceOffers(self, driver, offers):
        if self.agent is not None:
            for offer in offers:
                driver.declineOffer(offer["id"], {"refuse_seconds": 3600})
            return
        offer = offers[0]
        self.see("offered")
        self.agent = offer["agent_id"]
        task = {
            "name": "life",
            "task_id": {"value": self.task},
            "agent_id": self.agent,
            "resources": [
                {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
            ],
            "command": {"value": "serve"},
        }
        driver.launchTasks(offer["id"], [task], {"refuse_seconds": 1})

    def statusUpdate(self, driver, update):
        reason = update.get("reason", "")
        self.see(update["state"] + (" " + reason if reason else ""))
        if update["state"] == "TASK_RUNNING" and not reason:
            driver.reconcileTasks([{"task_id": update["task_id"], "agent_id": update["agent_id"]}])
        elif reason == "REASON_RECONCILIATION":
            driver.suppressOffers()
            driver.reviveOffers()
            driver.killTask({"value": self.task})
        elif update["state"] == "TASK_KILLED":
            self.done.set()

    def error(self, driver, message):
        self.see("error: %s" % message)


def main():
    life = Life()
    framework = {"user": "root", "name": "life", "failover_timeout": 60}
    driver = MesosSchedulerDriver(life, framework, sys.argv[1])
    driver.start()
    ended = life.done.wait(LIMIT_SECONDS)
    driver.stop()
    expected = ["registered", "offered", "TASK_STARTING", "TASK_RUNNING",
                "TASK_RUNNING REASON_RECONCILIATION", "TASK_KILLED"]
    if not ended or life.seen != expected:
        print("expected %s" % expected, file=sys.stderr)
        sys.exit(1)


main()
