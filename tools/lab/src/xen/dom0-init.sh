#!/bin/busybox sh
# The first process of dom0: Xen's daemons, a bridge, and a server that runs what it is told.
# /proc and the like come first: nothing works without them.
b=/bin/busybox
export PATH=/bin:/usr/lib/xen-4.17/bin LD_LIBRARY_PATH=/lib/x86_64-linux-gnu
$b --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs run /run
mkdir -p /run/xen /run/xenstored /run/lock
exec >/dev/console 2>&1 </dev/null
for module in xen-privcmd xenfs xen-evtchn xen-gntdev xen-gntalloc llc stp bridge xen-netback e1000; do
    insmod /lib/modules/$module.ko || echo "DOM0: no module $module"
done
mount -t xenfs xenfs /proc/xen
xenstored --pid-file /run/xenstored.pid
xen-init-dom0 >/dev/null
xenconsoled --log=guest --log-dir=/var/log/xen/console --pid-file=/run/xenconsoled.pid
ip link set lo up
brctl addbr xenbr0
ip addr add 10.0.2.15/24 dev xenbr0
ip link set xenbr0 up
# The way to the outside: QEMU's card, beside the guests' interfaces on the bridge.
if [ -e /sys/class/net/eth0 ]; then
    ip link set eth0 up
    brctl addif xenbr0 eth0
    # QEMU's user network resets connections to others that it overhears.
    echo 0 >/sys/class/net/eth0/brport/unicast_flood
fi
# A connection is a line of shell and what that reads; it is answered with output and exit code.
printf '#!/bin/busybox sh\nread -r line\neval "$line" 2>&1\necho "exit=$?"\n' >/bin/serve
chmod 755 /bin/serve
echo "DOM0: ready after $(cut -d' ' -f1 /proc/uptime) s"
while true; do
    nc -ll -p 99 -e /bin/serve
done
