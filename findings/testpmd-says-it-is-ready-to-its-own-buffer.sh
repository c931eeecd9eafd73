#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages: dpdk-dev 24.11.8-0+deb13u1, librte-net-null25 of the same version, Debian 13
#           (testpmd was in the package dpdk up to Debian 12)
# Surprise: dpdk-testpmd whose output is a file never says there that it is ready. It
#           empties stdio's buffer while it waits for links, and not after "Press enter to
#           exit", the line that says that it forwards: this comes when the program ends.
#           With links that come up while it starts there are more lines, and a script that
#           waits for that one works or hangs by their number. With --stats-period it
#           empties the buffer each second.
# Seen:     the lines of "wanted" below
set -eu

wanted="ready, as its file says: 0, after its end: 1
ready, as its statistics say: 1"

apt=$(cd "$(dirname "$0")/.." && pwd)/tools/apt-private
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
"$apt" trixie amd64 update > /dev/null
# Without what is only for compiling, and for systems that boot
"$apt" trixie amd64 -qq -y --no-install-recommends --print-uris install \
    dpdk-dev=24.11.8-0+deb13u1 librte-net-null25=24.11.8-0+deb13u1 |
    sed "s/^'[^']*' \([^_]*\)_.*/\1/" |
    grep -vE '^(libdpdk|linux-libc|libc6|libssl|libpcap0.8|libsystemd|libipsec-mb|libibverbs|zlib1g)-dev$|^(python3|libpython3|systemd|dpkg|passwd|tar|udev|gcc|binutils)' > names
# shellcheck disable=SC2046
"$apt" trixie amd64 -qq download $(cat names)
for deb in *.deb; do
    dpkg-deb --extract "$deb" root
done
lib=$place/root/usr/lib/x86_64-linux-gnu

# start OPTION...: with a port that is no hardware, and no huge pages
start() {
    "$lib"/ld-linux-x86-64.so.2 --library-path "$lib:$lib/dpdk/pmds-25.0" \
        root/usr/bin/dpdk-testpmd --no-huge -m 64 --no-pci --no-telemetry --no-shconf \
        --lcores 0@0,1@0 -d librte_mempool_ring.so.25 -d librte_net_null.so.25 \
        --vdev=net_null0 -- --total-num-mbufs=2048 "$@" < keys > out 2> err &
    pid=$!
}
count() { grep -c "$1" out || true; }

mkfifo keys
{
    start
    exec 4> keys
    # Until the second of its threads has forwarded for a while
    sleep 15
    running=$(count "Press enter to exit")
    kill -0 $pid || cat err >&2
    echo >&4
    wait $pid
    echo "ready, as its file says: $running, after its end: $(count "Press enter to exit")"
    start --stats-period=1
    sleep 15
    echo "ready, as its statistics say: $(($(count "Port statistics") > 0))"
    kill -INT $pid
    wait $pid
} > found
cat found
[ "$(cat found)" = "$wanted" ] || { cat err >&2; echo "this has changed"; exit 1; }
echo "as expected"
