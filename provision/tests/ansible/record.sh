#!/bin/bash
# Records what ansible-core prints for our own playbooks: record.sh PROGRAM [CASE...]
# PROGRAM is an ansible-playbook of ansible-core 2.18.19. What it prints is committed, and
# `cargo test -p provision` compares `provision ansible-playbook` with it.
set -u
cd "$(dirname "$0")" || exit 1
program=$1
shift
export ANSIBLE_NOCOWS=1 ANSIBLE_RETRY_FILES_ENABLED=false LC_ALL=C.UTF-8
export ANSIBLE_DEPRECATION_WARNINGS=false ANSIBLE_HOME ANSIBLE_CONFIG
ANSIBLE_HOME=$(mktemp -d)
ANSIBLE_CONFIG=$ANSIBLE_HOME/empty.cfg
touch "$ANSIBLE_CONFIG"
mkdir -p recorded
grep -v '^#' cases | while read -r name arguments; do
    if [ $# -gt 0 ] && ! printf '%s\n' "$@" | grep -qx -- "$name"; then
        continue
    fi
    scratch=$(mktemp -d)
    # JSON would lose its quotes; playbooks are named by their whole path.
    arguments=$(printf '%s' "$arguments" |
        sed -E "s/(\{[^ ]*\})/'\1'/g; s#(^| )([a-z]+\.yml)#\1$PWD/\2#g")
    eval "set_arguments=($arguments)"
    "$program" -i "$PWD/hosts.ini" -f 1 -e "scratch=$scratch" "${set_arguments[@]}" \
        >"$scratch.out" 2>"$scratch.err" </dev/null
    code=$?
    {
        echo "exit $code"
        cat "$scratch.out"
    } | sed "s#$PWD#FOLDER#g; s#$scratch#SCRATCH#g; s#$ANSIBLE_CONFIG#CONFIG#" >"recorded/$name"
    [ "$code" -lt 5 ] || cat "$scratch.err"
    rm -r "$scratch" "$scratch.out" "$scratch.err"
done
rm -r "$ANSIBLE_HOME"
