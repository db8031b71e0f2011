#!/usr/bin/env bash
# Builds deploy/Dockerfile as it is and runs the image, as root, with neither an engine nor a registry:
#
#   scripts/image/check.sh
#
# buildah builds, runc runs (Debian's packages). What the Dockerfile begins FROM cannot be fetched everywhere, so images of the
# same names are made up, by which the checks become stricter: the one to build in has this machine's Go and busybox, the one to
# run in is empty. So what runs here needs no certificate, no time zone, no passwd and no directory of the distroless one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

work=$(mktemp -d)
image=localhost/pgwitness:check
export TMPDIR=$work BUILDAH_ISOLATION=chroot CONTAINERS_STORAGE_CONF=$work/storage.conf
cat >"$CONTAINERS_STORAGE_CONF" <<-EOF
	[storage]
	driver = "${STORAGE_DRIVER:-overlay}"
	graphroot = "$work/graph"
	runroot = "$work/run"
EOF
cleanup() {
	runc delete --force pgwitness-check 2>/dev/null || true
	buildah umount --all >/dev/null 2>&1 || true
	buildah rm --all >/dev/null 2>&1 || true
	umount "$work/graph/overlay" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

fail() {
	echo "image: $*" >&2
	exit 1
}

# stand_in NAME makes an empty image of that name, or one with busybox if there is a second argument.
stand_in() {
	local container root
	container=$(buildah from scratch)
	if (($# > 1)); then
		root=$(buildah mount "$container")
		mkdir -p "$root"/{bin,etc,tmp,usr/local/go,host}
		cp "$(command -v busybox)" "$root/bin/busybox"
		chroot "$root" /bin/busybox --install -s /bin
		buildah config --env PATH=/usr/local/go/bin:/bin --env GOMODCACHE=/host/mod --env GOCACHE=/host/cache \
			--env GOPROXY="$(go env GOPROXY)" --env GOTOOLCHAIN=local "$container"
	fi
	buildah commit --quiet --rm "$container" "$1" >/dev/null
}

bases=$(sed -n 's/^FROM \(--platform=[^ ]* \)\?\([^ ]*\).*/\2/p' deploy/Dockerfile)
[[ $(wc -l <<<"$bases") == 2 ]] || fail "deploy/Dockerfile does not have two stages: $bases"
stand_in "docker.io/library/$(sed -n 1p <<<"$bases")" with-busybox
stand_in "$(sed -n 2p <<<"$bases")"

echo "building deploy/Dockerfile"
arch=$(go env GOARCH)
buildah build --quiet --pull-never --platform "linux/$arch" --build-arg TARGETOS=linux --build-arg "TARGETARCH=$arch" \
	--build-arg VERSION=v1.2.3-check --build-arg COMMIT=0123456789ab --file deploy/Dockerfile --tag "$image" \
	--volume "$(go env GOROOT):/usr/local/go:ro" --volume "$(go env GOMODCACHE):/host/mod" --volume "$(go env GOCACHE):/host/cache" \
	. >/dev/null

container=$(buildah from --pull-never "$image")
root=$(buildah mount "$container")

found=$(cd "$root" && find . -mindepth 1 ! -type d -printf '%M %U:%G %P\n' | sort)
[[ $found == "-rwxr-xr-x 0:0 usr/bin/pgwitness" ]] || fail "the image should hold the binary alone: $found"
state=$(stat -c '%A %u:%g' "$root/var/lib/pgwitness")
[[ $state == "drwxr-xr-x 65532:65532" ]] || fail "the state directory is $state"
config=$(buildah inspect --type image --format \
	'{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}} {{.OCIv1.Config.ExposedPorts}} {{index .OCIv1.Config.Labels "org.opencontainers.image.version"}}' "$image")
[[ $config == "65532:65532 [/usr/bin/pgwitness] [run] map[9717/tcp:{}] v1.2.3-check" ]] || fail "the configuration is $config"
if readelf --program-headers "$root/usr/bin/pgwitness" | grep -q INTERP; then
	fail "the binary is not static"
fi
echo "it holds the binary, static, $(stat -c %s "$root/usr/bin/pgwitness") bytes, and an empty state directory"

# contain ARGS runs the image as Kubernetes' restricted pod security has it: a user without rights, no capability, nothing that
# can be written to but what is mounted. The host's network stands for a pod's.
contain() {
	local bundle=$work/bundle
	rm -rf "$bundle" && mkdir -p "$bundle"
	jq -n --arg root "$root" --arg state "$work/state" '{
		ociVersion: "1.0.2",
		process: {
			args: (["/usr/bin/pgwitness"] + $ARGS.positional), cwd: "/", user: {uid: 65532, gid: 65532}, noNewPrivileges: true,
			env: ["PGWITNESS_HTTP_LISTEN=127.0.0.1:19717", "PGWITNESS_SOURCE_DSN=postgres://pgwitness@127.0.0.1:1/shop"],
			capabilities: {bounding: [], effective: [], inheritable: [], permitted: [], ambient: []}
		},
		root: {path: $root, readonly: true},
		mounts: [
			{destination: "/proc", type: "proc", source: "proc"},
			{destination: "/var/lib/pgwitness", type: "bind", source: $state, options: ["bind", "rw"]}
		],
		linux: {namespaces: [{type: "pid"}, {type: "ipc"}, {type: "uts"}, {type: "mount"}]}
	}' --args "$@" >"$bundle/config.json"
	runc run --bundle "$bundle" pgwitness-check
}

install -d -o 65532 -g 65532 -m 0750 "$work/state"
version=$(contain version)
grep -q '^pgwitness v1.2.3-check (commit 0123456789ab, ' <<<"$version" || fail "it says $version"

# Nothing answers at the DSN: it has to serve all the same, be alive and not ready, and end when asked to.
contain run >"$work/log" 2>&1 &
runs=$!
[[ $(curl -s --retry 30 --retry-delay 1 --retry-connrefused http://127.0.0.1:19717/healthz) == ok ]] || fail "it is not healthy without a database"
[[ $(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:19717/readyz) == 503 ]] || fail "it is ready without a database"
[[ $(curl -s http://127.0.0.1:19717/metrics) == *'process_start_time_seconds '* ]] || fail "/metrics lacks the process"
runc kill pgwitness-check TERM
wait "$runs" || fail "asked to stop, it ended with $?: $(cat "$work/log")"
[[ $(find "$work/state" -type f ! -user 65532 | wc -l) == 0 ]] || fail "files in the state directory belong to somebody else"
echo "it runs as 65532 without capabilities on a read-only root, serves without a database, and ends when asked to"
