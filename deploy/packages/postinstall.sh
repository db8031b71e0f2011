#!/bin/sh
# Nothing is enabled or started: pgwitness has no database to follow yet. What runs is restarted, which loses nothing.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart pgwitness.service
fi
