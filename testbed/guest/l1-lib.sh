# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# What L1 does for a run, also at hand in its interactive shell.  The runner's
# files are in /scenario: settings (shell variables), probes, qut.args (one
# argument per line, @host0@ stands for the first device) and on-NAME, what to
# do when L2 says "sync name=NAME".
# shellcheck disable=SC1091
. /common.sh
# shellcheck disable=SC1091
. /scenario/settings

# The interactive shell has the port from init already; it opens only once.
[ -e /proc/self/fd/5 ] || exec 5> /run/port-report
say() { echo "$(uptime_now) $*" >&5; }
tracing=/sys/kernel/tracing

# The devices are behind root ports, which are devices 0x10 and up of a root
# bus, and come in the order of the buses, of the ports and of their functions.
bind_devices() {
    index=0
    for host in /sys/bus/pci/devices/0000:??:1?.0/0000:??:??.?; do
        [ -e "$host" ] || break     # none at all
        host=${host##*/}
        dev=/sys/bus/pci/devices/$host
        echo vfio-pci > "$dev/driver_override"
        [ ! -e "$dev/driver" ] || echo "$host" > "$dev/driver/unbind"
        echo "$host" > /sys/bus/pci/drivers_probe
        driver=$(basename "$(readlink -f "$dev/driver")")
        iommu=$(readlink -f "$dev/iommu" | sed 's/.*\///; /^iommu$/d')
        say "device index=$index host=$host driver=$driver iommu=$iommu"
        sed -i "s/@host$index@/$host/g" /scenario/*
        index=$((index + 1))
    done
}

# What viommu-host-check says of each device
check_host() {
    [ "$CHECK_HOST" = 1 ] || return 0
    for dev in /sys/bus/pci/drivers/vfio-pci/0000:*; do
        host=${dev##*/}
        viommu-host-check --qemu /bin/qemu "$host" > /run/host-check 2>&1
        status=$?
        why=$(sed -n 's/^ *- //p' /run/host-check | tr '\n' ';')
        say "host-check host=$host status=$status $(grep "^$host" /run/host-check) $why"
    done
}

# L1's ends of the networks of passed-through NICs, and what serves all
# networks: port 5000 sends random data, port 5001 returns the hash of what comes.
set_networks() {
    [ "$NET_MIB" -gt 0 ] || return 0
    for network in $NETWORKS; do
        interface=$(interface_of "${network#*:}")
        ip addr add "10.0.${network%%:*}.1/24" dev "$interface"
        ip link set "$interface" up
    done
    dd if=/dev/urandom of=/run/net.data bs=1M count="$NET_MIB" 2>/dev/null
    nc -ll -p 5000 -e cat /run/net.data &
    nc -ll -p 5001 -e sha256sum &
    sum=$(sha256sum < /run/net.data)
    say "net-data sha256=${sum%% *} bytes=$(wc -c < /run/net.data)"
}

# Lines "NAME DEFINITION..." become kprobes; a missing one is reported, since a
# count of zero would otherwise mean two things.
set_probes() {
    while read -r name definition; do
        echo "p:viommu/$name $definition" >> $tracing/kprobe_events 2>/dev/null ||
            say "no-probe name=$name"
    done < /scenario/probes
    [ "$MEASURE" = 0 ] || echo 32768 > $tracing/buffer_size_kb
    echo 1 > $tracing/events/viommu/enable
}

# What the kernel has seen so far; profile lines are "NAME HITS MISSED". Marks before and
# after, so that nobody takes what counting costs for what was counted.
count() {
    mark
    say "count at=$1 $(awk '{ printf "%s=%s ", $1, $2 }' $tracing/kprobe_profile)$(details "$1")"
    mark
}

# What the events since L2 has booted say: the entries of invalidations, and L2's accesses
# to memory that is none, by page. The many of the boot would take long to read.
details() {
    [ "$MEASURE" = 1 ] || return 0
    [ "$1" = booted ] || awk '
        / nested_invalidate: / { sub(/.* entries=/, ""); print "entries", $1 }
        / mmio_(read|write): .* bus=0 / { sub(/.* address=0x/, ""); print "page-" substr($1, 1, length($1) - 3), 1 }
    ' $tracing/trace >> /run/details
    : > $tracing/trace
    [ ! -e /run/details ] ||
        awk '{ sum[$1] += $2 } END { for (name in sum) printf "%s=%d ", name, sum[name] }' /run/details
}

# What the kernel has pinned for the QEMU under test, in KiB
memory() {
    pinned=$(awk '/^VmPin:/ { print $2 }' "/proc/$(pidof qemu | cut -d' ' -f1)/status")
    [ -z "$pinned" ] || say "memory at=$1 pinned=$pinned"
}

# await_qmp REGEX TIMES: that many lines since the log was cleared
await_qmp() {
    rounds=6000
    until [ "$(grep -c "$1" /run/qmp.log)" -ge "$2" ]; do
        rounds=$((rounds - 1))
        [ $rounds -gt 0 ] || { say "timeout what=QMP: $1; last: $(tail -n 1 /run/qmp.log)"; return 1; }
        usleep 50000
    done
}

# on-NAME's lines: "qmp JSON", "await REGEX", "ping NETWORK".  The nth wait for the same
# is served by the nth line, so that several commands may be under way.
act_on() {
    [ -r "/scenario/on-$1" ] || return 0
    : > /run/qmp.log
    : > /run/awaited
    while read -r verb rest; do
        case $verb in
        qmp) say "qmp $rest"; echo "$rest" >&9 ;;
        ping)
            say "ping network=$rest $(ping -c 100 -i 0.05 -W 20 -s 1400 "10.0.$rest.2" | sed -n \
                's/^\([0-9]*\) packets transmitted, \([0-9]*\) .*/sent=\1 answered=\2/p')" ;;
        await)
            echo "$rest" >> /run/awaited
            await_qmp "$rest" "$(grep -cxF "$rest" /run/awaited)" || return 0 ;;
        esac
    done < "/scenario/on-$1"
}

run_qut() {
    [ -p /run/l2.in ] || mkfifo /run/l2.in /run/l2.out /run/qmp.in /run/qmp.out
    # Open for reading and writing: neither side then waits for the other.
    exec 6<> /run/l2.out 7<> /run/l2.in 8<> /run/qmp.out 9<> /run/qmp.in
    cat <&8 >> /run/qmp.log &
    echo '{"execute": "qmp_capabilities"}' >&9
    for file in kernel initrd; do
        sed -i "s/@$file-bytes@/$(wc -c < /l2/$file)/" /scenario/qut.args
        [ -p "/run/$file.in" ] || mkfifo "/run/$file.in" "/run/$file.out"
    done
    set --
    while read -r argument; do
        set -- "$@" "$argument"
    done < /scenario/qut.args
    say "qut-start"
    (
        # shellcheck disable=SC2086
        env $QUT_ENV "$@" < /dev/null > /run/port-qut 2>&1
        echo "exit status=$?" > /run/l2.out
    ) 5>&- 6>&- 7>&- 8>&- 9>&- &
    while read -r line <&6; do
        case $line in
        "exit status="*) say "qut-$line"; break ;;
        *" sync name="*)
            say "l2 $line"
            name=${line##*name=}
            count "$name"
            memory "$name"
            act_on "$name"
            echo go >&7 ;;
        # Not before: UEFI takes what waits at any such port, and drops it
        *" wants file="*) cat "/l2/${line##*=}" > "/run/${line##*=}.in" & ;;
        *) say "l2 $line" ;;
        esac
    done
}

report_end() {
    count end
    # Their arguments are evidence; those of other probes would be thousands.
    grep -e nested_alloc: $tracing/trace | while read -r line; do
        say "event $line"
    done
    [ -z "$CALLS" ] || [ ! -r "$CALLS" ] || cat "$CALLS" > /run/port-calls
    say "end"
}
