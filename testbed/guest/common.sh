# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# What the init scripts of L1 and L2 share.

mount_all() {
    mount -t proc none /proc
    mount -t sysfs none /sys
    mount -t devtmpfs none /dev 2>/dev/null
    mkdir -p /run /tmp
    mount -t tmpfs none /run
    mount -t tmpfs none /tmp
}

# What the kernel does not have built in, in the order of their names; insmod
# does not look for parameters on the kernel command line.
load_modules() {
    for module in /modules/*.ko; do
        [ -e "$module" ] || continue
        name=${module##*-} name=${name%.ko}
        insmod "$module" "$(tr ' ' '\n' < /proc/cmdline | sed -n "s/^$name\.//p" | tr '\n' ' ')"
    done
}

# Seconds since this level's boot, as the kernel log has them.
uptime_now() {
    read -r now _ < /proc/uptime
    echo "$now"
}

# The value of NAME=… on the kernel command line.
cmdline_value() {
    tr ' ' '\n' < /proc/cmdline | sed -n "s/^$1=//p" | tail -n 1
}

# The network interface with that MAC address, if it is there.
interface_of() {
    for entry in /sys/class/net/*; do
        read -r address 2>/dev/null < "$entry/address" || continue
        [ "$address" != "$1" ] || echo "${entry##*/}"
    done
}

# The device of the virtio-serial port of that name.
virtio_port() {
    for entry in /sys/class/virtio-ports/*; do
        [ "$(cat "$entry/name" 2>/dev/null)" != "$1" ] || echo "/dev/${entry##*/}"
    done
}
