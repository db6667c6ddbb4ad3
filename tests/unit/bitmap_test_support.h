#pragma once
// What the tests of the bitmap file share: small files on a simulated disk.

#include <functional>

#include "bitmap/bitmap_file.h"
#include "tests/sim/crash_store.h"

namespace drseed::bitmap {

inline FileInfo info_of(std::uint64_t blocks) {
  FileInfo info;
  info.file_id.bytes.fill(7);
  info.mirror_id.bytes.fill(9);
  info.volume_bytes = blocks * kBlockBytesDefault;
  info.region_bytes = 2 * kBlockBytesDefault;
  info.log_regions = kLogRegionsMin;
  return info;
}

inline StateRecord state_with(std::initializer_list<unsigned> slots) {
  StateRecord state;
  state.generation.bytes.fill(5);
  state.sequence_low = 41;
  state.sequence_high = 42;
  for (const auto slot : slots) {
    state.slots[slot].kind = SlotKind::kPeer;
    state.slots[slot].name = "dr" + std::to_string(slot);
    state.slots[slot].id.bytes.fill(static_cast<std::uint8_t>(slot));
    state.slots[slot].base_generation = state.generation;
    state.slots[slot].base_sequence = 40;
  }
  state.engine = {1, 2, 3};
  return state;
}

inline Result<BitmapFile> open_on(sim::CrashDisk& disk) {
  return BitmapFile::open(std::make_unique<sim::CrashStore>(disk));
}

// A new file on a simulated disk.
inline std::unique_ptr<sim::CrashDisk> new_file(const FileInfo& info, const StateRecord& state) {
  auto disk = std::make_unique<sim::CrashDisk>(Layout(info).file_bytes());
  sim::CrashStore store(*disk);
  if (!BitmapFile::format(store, info, state)) return nullptr;
  return disk;
}

// True if every dirty block of `part` is dirty in `whole`.
inline bool contains(const DirtyBitmap& whole, const DirtyBitmap& part) {
  auto missing = part.clone();
  missing.subtract(whole);
  return missing.dirty_count() == 0;
}

}  // namespace drseed::bitmap
