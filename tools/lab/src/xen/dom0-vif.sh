#!/bin/busybox sh
# xl's hotplug script, as small as it can be: a guest's interface joins the bridge, of which there is one.
export PATH=/bin
case "$1" in
online)
    if ip link set "$vif" up && brctl addif xenbr0 "$vif"; then
        xenstore-write "$XENBUS_PATH/hotplug-status" connected
    else
        xenstore-write "$XENBUS_PATH/hotplug-error" "no bridge" "$XENBUS_PATH/hotplug-status" error
    fi
    ;;
offline)
    brctl delif xenbr0 "$vif"
    ip link set "$vif" down
    ;;
esac 2>/dev/null
exit 0
