#include "block/identity.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>

#include "block/disk_key.h"
#include "block/transfer.h"

namespace drseed::block {
namespace {

constexpr const char* kByIdFolder = "/dev/disk/by-id";
constexpr const char* kAmbivalentType = "ambivalent";
constexpr std::size_t kVpdHeaderBytes = 4;  // SPC-4 7.8.15: the unit serial number follows the page's header

// Not RAID, LVM, LUKS or swap.
bool holds_files(std::string_view type) {
  return !type.ends_with("_member") && !type.starts_with("crypto_") && !type.starts_with("swap");
}

using Probe = std::unique_ptr<blkid_struct_probe, decltype(&blkid_free_probe)>;

std::string trimmed(const std::string& text) {
  constexpr std::string_view kBlank(" \t\r\n\0", 5);
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::string serial_in(const std::string& disk_folder) {
  for (const char* file : {"/device/serial", "/serial"}) {
    if (auto serial = trimmed(sysfs_text(disk_folder + file)); !serial.empty()) return serial;
  }
  const auto page = sysfs_text(disk_folder + "/device/vpd_pg80");
  return page.size() > kVpdHeaderBytes ? trimmed(page.substr(kVpdHeaderBytes)) : "";
}

void find_hardware(dev_t device, Identity& identity) {
  std::string folder = sysfs_folder(device);
  if (folder.empty()) return;
  if (!sysfs_text(folder + "/partition").empty()) folder = folder.substr(0, folder.rfind('/'));
  identity.model = trimmed(sysfs_text(folder + "/device/model"));
  identity.serial = serial_in(folder);
  for (const auto& name : names_in(kByIdFolder)) {
    if (disk_key_at(std::string(kByIdFolder) + '/' + name) != DiskKey{true, device, 0}) continue;
    identity.by_id = name;
    return;
  }
}

std::string value_of(blkid_probe probe, const char* name) {
  const char* value = nullptr;
  if (blkid_probe_lookup_value(probe, name, &value, nullptr) != 0) return "";
  return value;
}

void take_values(blkid_probe probe, Identity& identity) {
  if (identity.filesystem_type.empty()) {
    identity.filesystem_type = value_of(probe, "TYPE");
    identity.filesystem_uuid = value_of(probe, "UUID");
    identity.filesystem_label = value_of(probe, "LABEL");
  }
  if (identity.partition_table_type.empty()) {
    identity.partition_table_type = value_of(probe, "PTTYPE");
    identity.partition_table_uuid = value_of(probe, "PTUUID");
  }
}

void find_content(blkid_probe probe, Identity& identity) {
  blkid_probe_enable_superblocks(probe, 1);
  blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL);
  blkid_probe_enable_partitions(probe, 1);
  constexpr int kAmbivalent = -2;
  const int outcome = blkid_do_safeprobe(probe);
  if (outcome == 0) take_values(probe, identity);
  if (outcome != kAmbivalent) return;
  // Several signatures: the first of each kind that is found. One is enough to say that the disk is not empty.
  blkid_reset_probe(probe);
  while (blkid_do_probe(probe) == 0) take_values(probe, identity);
  if (identity.filesystem_type.empty()) identity.filesystem_type = kAmbivalentType;
}

}  // namespace

Result<Identity> identify(const Device& device) {
  Identity identity;
  struct stat state {};
  if (fstat(device.buffered_fd(), &state) == 0 && S_ISBLK(state.st_mode)) find_hardware(state.st_rdev, identity);
  if (device.size_bytes() == 0) return identity;

  // libblkid moves the position of its descriptor, which must not be shared with another thread.
  const UniqueFd fd = reopen(device, O_RDONLY);
  if (!fd) {
    return fail(ErrorCode::kEnvironment, "{}: cannot be opened again to look for file systems; is it still there?",
                device.path());
  }
  const Probe probe(blkid_new_probe(), &blkid_free_probe);
  if (!probe || blkid_probe_set_device(probe.get(), fd.get(), 0, 0) != 0) {
    return fail(ErrorCode::kEnvironment, "{}: libblkid cannot look for file systems", device.path());
  }
  find_content(probe.get(), identity);
  return identity;
}

std::string Identity::describe_content() const {
  std::string text;
  if (filesystem_type == kAmbivalentType) {
    text = "signatures of several file systems";
  } else if (!filesystem_type.empty()) {
    const bool is_vowel = std::string_view("aeiou").find(filesystem_type.front()) != std::string_view::npos;
    text = fmt::format("{} {} {}", is_vowel ? "an" : "a", filesystem_type,
                       holds_files(filesystem_type) ? "file system" : "signature");
    if (!filesystem_label.empty()) text += fmt::format(" '{}'", filesystem_label);
    if (!filesystem_uuid.empty()) text += fmt::format(" (UUID {})", filesystem_uuid);
  }
  if (!partition_table_type.empty()) {
    if (!text.empty()) text += " and ";
    text += fmt::format("a {} partition table", partition_table_type);
  }
  return text;
}

}  // namespace drseed::block
