#pragma once
// What a disk says of itself: hardware (sysfs, /dev/disk/by-id) and content (libblkid). Missing facts are empty.

#include <string>

#include "block/device.h"

namespace drseed::block {

struct Identity {
  std::string model;
  std::string serial;
  std::string by_id;  // the first stable name in /dev/disk/by-id, without the folder
  std::string filesystem_type, filesystem_uuid, filesystem_label;
  std::string partition_table_type, partition_table_uuid;

  bool has_known_content() const { return !filesystem_type.empty() || !partition_table_type.empty(); }
  // "an ext4 file system 'data' (UUID 1234-...)", "a gpt partition table", or "" without known content.
  std::string describe_content() const;
};

// Probes at offset 0 of the device. Includes RAID, LVM and LUKS signatures (as filesystem_type). A read error or an
// ambivalent result (several signatures) is not an error: filesystem_type is then "ambivalent" or the first one found.
Result<Identity> identify(const Device& device);

}  // namespace drseed::block
