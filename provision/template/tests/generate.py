#!/usr/bin/env python3
"""Makes tests/fixtures/*.json: what the real ansible-core does with each case.

    PYTHON_218=... PYTHON_219=... python3 tests/generate.py      # in provision/template

The cases stand in tests/cases/*.yml: {vars: {...}, cases: [text or {template|condition|file: text,
vars: {...}}]}. Each is given to ansible-core 2.18.19 and 2.19.14 in a virtual environment with
passlib, jmespath and netaddr. The expected outputs are data; nothing of Ansible is copied.
"""
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PYTHONS = {
    "classic": os.environ["PYTHON_218"],
    "strict": os.environ["PYTHON_219"],
}

WORKER = r'''
import json, sys, os, datetime
os.environ["TZ"] = "UTC"
import warnings; warnings.simplefilter("ignore")
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.utils.display import Display
Display().warning = lambda *a, **k: None
Display().deprecated = lambda *a, **k: None
dialect = sys.argv[1]
import ansible.plugins.loader as pl
if dialect == "classic":
    from ansible.playbook.conditional import Conditional
else:
    from ansible._internal._datatag._tags import TrustedAsTemplate
    from ansible._internal._templating._jinja_bits import _TemplateConfig
pl.init_plugin_loader([])
loader = DataLoader()

def trust(value):
    if dialect == "classic":
        return value
    if isinstance(value, str):
        return TrustedAsTemplate().tag(value)
    if isinstance(value, dict):
        return {k: trust(v) for k, v in value.items()}
    if isinstance(value, list):
        return [trust(v) for v in value]
    return value

def plain(value):
    if isinstance(value, bool) or value is None: return value
    if isinstance(value, str): return str(value)
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else {"__big__": str(value)}
    if isinstance(value, float):
        return float(value) if value == value and abs(value) != float("inf") else {"__float__": repr(value)}
    if isinstance(value, dict): return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)): return [plain(v) for v in value]
    if isinstance(value, bytes): return {"__bytes__": value.decode("latin-1")}
    return {"__object__": str(value)}

def message(error):
    parts = []
    while error is not None:
        text = getattr(error, "message", None) or str(error)
        if text not in parts: parts.append(text)
        error = error.__cause__ or getattr(error, "orig_exc", None)
    return " | ".join(parts)[:600]

def run(case, shared):
    variables = trust({**shared, **case.get("vars", {})})
    variables.update(case.get("data", {}))
    try:
        templar = Templar(loader, variables=variables)
        if "condition" in case:
            text = case["condition"]
            if dialect == "classic":
                c = Conditional(loader); c.when = [text]
                return {"value": c.evaluate_conditional(templar, variables)}
            return {"value": templar.evaluate_conditional(trust(text))}
        if "file" in case:
            kwargs = dict(case.get("options", {}))
            if dialect == "classic":
                value = templar.do_template(case["file"], preserve_trailing_newlines=True,
                                            escape_backslashes=False, overrides=kwargs or None)
            else:
                value = templar.template(trust(case["file"]), escape_backslashes=False,
                                         overrides=kwargs or None)
                value = "" if value is None else value if isinstance(value, str) else str(value)
            return {"value": plain(value)}
        return {"value": plain(templar.template(trust(case["template"])))}
    except Exception as error:
        return {"error": message(error)}

job = json.load(sys.stdin)
json.dump([run(case, job["vars"]) for case in job["cases"]], sys.stdout)
'''


def main():
    import yaml

    for path in sorted((HERE / "cases").glob("*.yml")):
        document = yaml.safe_load(path.read_text())
        cases = [case if isinstance(case, dict) else {"template": case} for case in document["cases"]]
        shared = document.get("vars") or {}
        answers = {}
        for dialect, python in PYTHONS.items():
            job = json.dumps({"vars": shared, "cases": cases})
            done = subprocess.run(
                [python, "-c", WORKER, dialect], input=job, capture_output=True, text=True,
                env={**os.environ, "TZ": "UTC", "PYTHONHASHSEED": "0"},
            )
            if done.returncode:
                sys.exit(f"{path.name} {dialect}: {done.stderr[-2000:]}")
            answers[dialect] = json.loads(done.stdout)
        out = []
        for index, case in enumerate(cases):
            out.append({**case, "classic": answers["classic"][index], "strict": answers["strict"][index]})
        target = HERE / "fixtures" / f"{path.stem}.json"
        target.write_text(json.dumps({"vars": shared, "cases": out}, indent=1, ensure_ascii=False) + "\n")
        print(f"{target.name}: {len(out)} cases")


if __name__ == "__main__":
    main()
