"""SimPy and Ciw on the requests that `simulators write` wrote: the same arrivals, services and
choices, so that the sums of waits must be the same to the nanosecond. Prints a JSON object a line.

Times are whole nanoseconds: integers in SimPy, doubles below 2^53 in Ciw, exact in both."""

import collections
import importlib.metadata
import json
import struct
import sys
import time

import ciw
import simpy

RUNS = 3
# Requests of each load; Ciw looks at every node at every event, and has no rule with these choices
# for the last two loads.
SIMPY_REQUESTS = [100_000, 50_000, 50_000, 20_000]
CIW_REQUESTS = [30_000, 1_500]
NODES = [(1, 16), (1000, 1), (1000, 1), (1000, 1)]


def jobs_of(folder, number, count):
    with open(f"{folder}/{number}.jobs", "rb") as file:
        data = file.read(24 * count)
    return list(struct.iter_unpack("<QQII", data))


def oracle_waits(folder, number, count):
    with open(f"{folder}/{number}.waits", "rb") as file:
        return sum(wait for (wait,) in struct.iter_unpack("<Q", file.read(8 * count)))


def run_simpy(jobs, number):
    """A process for each request, a Resource for each node, as its documentation shows."""
    nodes, servers = NODES[number]
    environment = simpy.Environment()
    resources = [simpy.Resource(environment, capacity=servers) for _ in range(nodes)]
    loads = [0] * nodes
    waits = 0

    def request(job, node):
        nonlocal waits
        with resources[node].request() as turn:
            yield turn
            waits += environment.now - job[0]
            yield environment.timeout(job[1])
        loads[node] -= 1

    def choose(job):
        _, _, first, second = job
        if number == 2:
            return second if loads[second] < loads[first] else first
        if number == 3:
            least = min(loads)
            try:
                return loads.index(least, first)
            except ValueError:
                return loads.index(least)
        return first

    def source():
        for job in jobs:
            yield environment.timeout(job[0] - environment.now)
            node = choose(job)
            loads[node] += 1
            environment.process(request(job, node))

    environment.process(source())
    environment.run()
    return waits


def run_ciw(jobs, number):
    """A node of Ciw for each node, with the arrivals that are its own."""
    nodes, servers = NODES[number]
    own = collections.defaultdict(list)
    for job in jobs:
        own[job[2]].append(job)
    never = float("inf")

    def gaps(list_of_jobs):
        times = [0] + [job[0] for job in list_of_jobs]
        return [float(after - before) for before, after in zip(times, times[1:])] + [never]

    def services(list_of_jobs):
        return [float(job[1]) for job in list_of_jobs] + [1.0]

    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential(gaps(own[node])) for node in range(nodes)],
        service_distributions=[ciw.dists.Sequential(services(own[node])) for node in range(nodes)],
        number_of_servers=[servers] * nodes,
        routing=[[0.0] * nodes for _ in range(nodes)],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(len(jobs), method="Complete")
    return sum(int(record.waiting_time) for record in simulation.get_all_records())


def tell(tool, load, count, wanted, run):
    times = []
    for _ in range(RUNS):
        begun = time.process_time()
        waits = run()
        times.append(time.process_time() - begun)
    times.sort()
    row = {
        "tool": tool,
        "load": load,
        "requests": count,
        "seconds": times[RUNS // 2],
        "runs": RUNS,
        "waits_ns": str(waits),
        "is_as_oracle": waits == wanted,
    }
    print(json.dumps(row), flush=True)


def main():
    folder, names = sys.argv[1], sys.argv[2:]
    version = importlib.metadata.version
    for number, load in enumerate(names):
        count = SIMPY_REQUESTS[number]
        jobs = jobs_of(folder, number, count)
        wanted = oracle_waits(folder, number, count)
        tell(f"SimPy {version('simpy')}", load, count, wanted, lambda: run_simpy(jobs, number))
        if number < len(CIW_REQUESTS):
            count = CIW_REQUESTS[number]
            jobs = jobs_of(folder, number, count)
            wanted = oracle_waits(folder, number, count)
            tell(f"Ciw {version('ciw')}", load, count, wanted, lambda: run_ciw(jobs, number))


main()
