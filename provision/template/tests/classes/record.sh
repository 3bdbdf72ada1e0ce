#!/bin/bash
# Records which classes texts have: record.sh PROGRAM > recorded.tsv
# PROGRAM is an ansible-playbook of ansible-core 2.18.19. A line is an expression, what `type_debug`
# says of it, and what it says with `jinja2_native`. The variables are those of play.yml.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$1
scratch=$(mktemp -d)
cd "$scratch"
cp "$here/play.yml" .
grep -v '^#' "$here/expressions.txt" >expressions
python3 - <<'P' >>play.yml
for number, line in enumerate(open("expressions")):
    text = '"R%d={{ (%s) | type_debug }}"' % (number, line.strip())
    print("    - debug:\n        msg: %s" % ("'" + text[1:-1].replace("'", "''") + "'"))
    print("      loop: ['{{ written }}']")
P
for native in 0 1; do
    ANSIBLE_JINJA2_NATIVE=$native "$program" -i 'localhost,' play.yml \
        -e 'ansible_python_interpreter={{ ansible_playbook_python }}' \
        >"out.$native" 2>/dev/null </dev/null
done
python3 - <<'P'
import re

said = [dict(re.findall(r'"msg": "R(\d+)=(.*)"', open(f"out.{native}").read())) for native in (0, 1)]
for number, line in enumerate(open("expressions")):
    print(line.strip(), *(native[str(number)] for native in said), sep="\t")
P
rm -r "$scratch"
