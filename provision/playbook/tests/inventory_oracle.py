#!/usr/bin/env python3
"""What ansible-core makes of tests/data/inventories (or of another folder), as <case>.expected.json there.

Run it with the Python of a venv that has ansible-core 2.18. The JSON is committed, so the tests need no Ansible.
"""
import json
import os
import sys

from ansible import constants as C
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager

MAGIC = set(C.INTERNAL_STATIC_VARS) | {"inventory_file", "inventory_dir", "ansible_playbook_python", "group_names", "groups", "inventory_hostname", "inventory_hostname_short", "ansible_facts", "playbook_dir", "ansible_version", "omit", "environment", "hostvars", "ansible_config_file"}


def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, set):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, complex) or value is ...:
        return f"no JSON: {value}"
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**64:
        return float(value)
    return value


def names(hosts):
    return [host.name for host in hosts]


def select(inventory, pattern):
    try:
        return names(inventory.get_hosts(pattern))
    except Exception as error:
        return {"error": str(error)}


def describe(case):
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=case["sources"])
    variables = VariableManager(loader=loader, inventory=inventory)
    result = {"groups": {}, "hosts": {}, "patterns": {}, "limits": []}
    for name, group in inventory.groups.items():
        result["groups"][name] = {
            "hosts": names(group.hosts),
            "children": [child.name for child in group.child_groups],
            "depth": group.depth,
            "priority": group.priority,
            "all_hosts": names(group.get_hosts()),
        }
    for name, host in inventory.hosts.items():
        merged = variables.get_vars(host=host, include_hostvars=False)
        result["hosts"][name] = {
            "groups": merged["group_names"],
            "short": merged["inventory_hostname_short"],
            "vars": {str(key): plain(value) for key, value in merged.items() if key not in MAGIC},
        }
    for pattern in case["patterns"]:
        result["patterns"][pattern] = select(inventory, pattern)
    for pattern, limit in case["limits"]:
        inventory.subset(limit)
        inventory.clear_caches()
        result["limits"].append([pattern, limit, select(inventory, pattern)])
        inventory.subset(None)
        inventory.clear_caches()
    return result


os.chdir(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "inventories"))
for case in json.load(open("cases.json")):
    with open(case["name"] + ".expected.json", "w") as file:
        json.dump(describe(case), file, indent=1, sort_keys=False, ensure_ascii=False)
        file.write("\n")
