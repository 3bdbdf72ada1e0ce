// Completes a task's life through npm's mesos-framework: offers, launch, running, kill, teardown.
// usage: node life.js HOST PORT      (mesos-framework must be installed where node looks for it)
// Prints what happened, a word a line, and exits with 0 if all of it did within a minute.
"use strict";

const { Scheduler, Mesos } = require("mesos-framework");
const mesos = Mesos.getMesos();
const LIMIT_MILLISECONDS = 60000;

const [host, port] = process.argv.slice(2);
const seen = [];
const see = (word) => {
    seen.push(word);
    console.log(word);
};

const scheduler = new Scheduler({
    masterUrl: host,
    port: Number(port),
    useZk: false,
    frameworkName: "life",
    frameworkFailoverTimeout: 60,
    logging: { level: "error" },
    // Not started again when it has been killed.
    restartStates: [],
    tasks: {
        life: {
            priority: 1,
            instances: 1,
            commandInfo: new mesos.CommandInfo(null, null, true, "serve", null, null),
            resources: { cpus: 0.1, mem: 32, ports: 1, disk: 0 },
        },
    },
});

const end = (code) => {
    if (code !== 0) {
        console.error("saw " + JSON.stringify(seen));
    }
    process.exit(code);
};

scheduler.on("subscribed", () => see("subscribed"));
let hasEnded = false;
scheduler.on("error", (error) => {
    // The stream is closed when the framework has ended.
    if (hasEnded) {
        return;
    }
    see("error: " + (error.message || JSON.stringify(error)));
    end(1);
});
scheduler.on("update", (update) => {
    const status = update.status;
    see(status.state);
    if (status.state === "TASK_RUNNING") {
        scheduler.kill(status.task_id.value, status.agent_id.value);
    } else if (status.state === "TASK_KILLED") {
        const wanted = ["subscribed", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLED"];
        // The library acknowledges after this; a framework that has ended may not.
        setTimeout(() => {
            hasEnded = true;
            scheduler.teardown();
        }, 300);
        setTimeout(() => end(JSON.stringify(seen) === JSON.stringify(wanted) ? 0 : 1), 800);
    }
});
scheduler.on("ready", () => scheduler.subscribe());
setTimeout(() => end(1), LIMIT_MILLISECONDS);
