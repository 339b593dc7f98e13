#!/bin/sh
# The whole guest: says who it is on its disk and its serial console, ticks, and obeys the power button.
# Kernel arguments: vmfleet.read=SKIP,COUNT reads so many MiB of the disk before the first line; vmfleet.walk=SKIP,COUNT
# reads one MiB at each tick, from SKIP on.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
# In the order of their dependencies; what this kernel has built in is not in the image.
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk \
    failover net_failover virtio_net button evdev; do
  [ -f "/lib/$module.ko" ] && insmod "/lib/$module.ko"
done

mkfifo /never
exec 3<>/never
# Waits without starting a process: two dozen emulated guests share a core.
pause() { read -r -t "$1" _ <&3; }

for event in /sys/class/input/event*; do
  [ -f "$event/device/name" ] || continue
  read -r name < "$event/device/name"
  if [ "$name" = "Power Button" ]; then
    (dd if="/dev/input/${event##*/}" of=/dev/null bs=24 count=1 2>/dev/null; echo "VMFLEET POWEROFF"; sync; poweroff -f) &
  fi
done

mac=none
[ -f /sys/class/net/eth0/address ] && read -r mac < /sys/class/net/eth0/address
if [ -b /dev/vda ]; then
  # One 4 KiB block at offset 0, which the image reserves for it.
  printf 'VMFLEET MAC=%s\n' "$mac" | dd of=/dev/vda bs=4096 conv=sync,notrunc,fsync 2>/dev/null || echo "VMFLEET WRITE FAILED"
else
  echo "VMFLEET NO DISK"
fi
read -r cmdline < /proc/cmdline
walk=0 walk_end=0
for arg in $cmdline; do
  value="${arg#*=}"
  case "$arg" in
    vmfleet.read=*) dd if=/dev/vda of=/dev/null bs=1048576 skip="${value%,*}" count="${value#*,}" 2>/dev/null || echo "VMFLEET READ FAILED" ;;
    vmfleet.walk=*) walk="${value%,*}"; walk_end=$((walk + ${value#*,})) ;;
  esac
done
echo "VMFLEET BOOTED mac=$mac"
n=0
while :; do
  if [ "$walk" -lt "$walk_end" ]; then
    dd if=/dev/vda of=/dev/null bs=1048576 skip="$walk" count=1 2>/dev/null || echo "VMFLEET READ FAILED"
    walk=$((walk + 1))
    [ "$walk" -eq "$walk_end" ] && echo "VMFLEET WALKED"
  fi
  echo "tick $n"
  n=$((n + 1))
  pause 1
done
