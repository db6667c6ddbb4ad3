#pragma once
// Private to block/: which disk a path means, independent of its name, and the loop devices of the system.

#include <sys/stat.h>
#include <sys/types.h>

#include <compare>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace drseed::block {

// A block device by its number, or a regular file by its inode.
struct DiskKey {
  bool is_block_device = false;
  dev_t device = 0;  // the block device itself, or the file system of the file
  ino_t inode = 0;   // 0 for a block device
  auto operator<=>(const DiskKey&) const = default;
};

// Nothing for anything but a block device or a regular file.
std::optional<DiskKey> disk_key_of(const struct stat& state);
// Nothing where the path cannot be looked at.
std::optional<DiskKey> disk_key_at(const std::string& path);
// For a path that the user named: says what is wrong with it.
Result<DiskKey> find_disk_key(const std::string& path);

// /sys/dev/block/MAJOR:MINOR, resolved; "" if there is no such device.
std::string sysfs_folder(dev_t device);
// A small sysfs file without the line's end; "" if there is none.
std::string sysfs_text(const std::string& path);
// The device whose sysfs folder this is (its file "dev"), if any.
std::optional<dev_t> device_of_sysfs(const std::string& folder);
std::vector<std::string> names_in(const std::string& folder);  // sorted; empty if there is no such folder

struct LoopDevice {
  std::string name;  // "loop3"
  dev_t device = 0;
  bool writes = false;
  DiskKey backing;
};

// The attached loop devices, as far as what is behind them can be found.
std::vector<LoopDevice> loop_devices();

}  // namespace drseed::block
