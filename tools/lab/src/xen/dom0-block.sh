#!/bin/busybox sh
# xl's hotplug script of a disk that is a block device already: the backend is told which.
export PATH=/bin
if [ "$1" = add ]; then
    if device=$(stat -L -c %t:%T "$(xenstore-read "$XENBUS_PATH/params")"); then
        xenstore-write "$XENBUS_PATH/physical-device" "$device" "$XENBUS_PATH/hotplug-status" connected
    else
        xenstore-write "$XENBUS_PATH/hotplug-error" "no such device" "$XENBUS_PATH/hotplug-status" error
    fi
fi 2>/dev/null
exit 0
