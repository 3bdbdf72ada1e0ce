#!/bin/sh
# What the task `What a script does` runs on the host.
printf '%s\n' "$@" > script
umask >> script
