#pragma once
// Who uses a disk now: the check before anything is destroyed, and before a live volume is copied.

#include <string>
#include <vector>

#include "base/result.h"

namespace drseed::block {

enum class UseKind {
  kMounted,  // it, a partition of it, or a loop device over it (a file)
  kSwap,
  kHeld,         // by another block device: md, dm, LVM (sysfs holders)
  kLoopBacking,  // a file or device that is attached to a loop device
  kExclusive,    // opened exclusively by somebody else (O_EXCL fails with EBUSY) and none of the above explains it
};

struct Use {
  UseKind kind;
  bool writes;  // can the user change it (a read-only mount or loop cannot)
  std::string
      what;  // for a message: "mounted at /srv/data", "swap", "held by md0", "attached to /dev/loop3 (partition 1)"
};

// Empty: nobody known uses it. Looks at the disk, its partitions, the disk that it is a partition of (held or mounted
// whole), and loop devices over it. Sources: /proc/self/mountinfo, /proc/swaps, /sys/class/block/*/holders,
// /sys/block/loop*/loop/backing_file.
Result<std::vector<Use>> users_of(const std::string& path);

// "mounted at /srv/data; swap" for a message.
std::string describe(const std::vector<Use>& uses);

}  // namespace drseed::block
