#!/bin/sh
# dpkg says "remove" and rpm 0 when the package goes for good; an upgrade leaves what runs alone until it is done.
set -e
case "$1" in remove | 0) ;; *) exit 0 ;; esac
if [ -d /run/systemd/system ]; then
	systemctl disable --now pgwitness.service pgwitness-retention.timer pgwitness-retention.service
fi
