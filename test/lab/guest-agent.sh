#!/bin/sh
# Beside the bare guest: takes the name and the address that it is given, and runs QEMU's guest agent.
# Kernel arguments: vmfleet.name=NAME is its host name; vmfleet.mute=NAME,PORT: the guest of that name runs its agent only
# once somebody connected to it at the port.
while [ ! -f /proc/cmdline ] || [ ! -d /sys/class/net/eth0 ]; do sleep 0.1; done
insmod /lib/virtio_console.ko
name=none mute=none port=0
read -r cmdline < /proc/cmdline
for arg in $cmdline; do
  value="${arg#*=}"
  case "$arg" in
    vmfleet.name=*) name="$value" ;;
    vmfleet.mute=*) mute="${value%,*}"; port="${value#*,}" ;;
  esac
done
hostname "$name"
ifconfig lo 127.0.0.1 up
ifconfig eth0 up
udhcpc -q -f -t 5 -T 3 -A 1 -i eth0 -x "hostname:$name" -s /udhcpc.sh >/dev/null 2>&1 # for as long as it takes
[ "$name" = "$mute" ] && nc -l -p "$port" </dev/null >/dev/null
for port in /sys/class/virtio-ports/*; do
  [ -f "$port/name" ] || continue
  read -r channel < "$port/name"
  [ "$channel" = org.qemu.guest_agent.0 ] && exec qemu-ga -m virtio-serial -p "/dev/${port##*/}" -t /run
done
echo "VMFLEET NO AGENT CHANNEL"
