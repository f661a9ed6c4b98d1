#!/bin/busybox sh
# xl's hotplug script, as small as it can be: a guest's interface joins the bridge.
export PATH=/bin
case "$1" in
online)
    bridge=$(xenstore-read "$XENBUS_PATH/bridge")
    if ip link set "$vif" up && brctl addif "${bridge:-xenbr0}" "$vif"; then
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
