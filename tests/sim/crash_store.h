#pragma once
// A bitmap file's bytes on a simulated disk that can lose power: after a crash each 512-byte sector written since the
// last sync holds what it held at the sync, or any one of the later writes of it. Nothing else is changed.
//
// The store belongs to the disk, which outlives it: open a new store on the same disk after a crash.

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <unordered_map>
#include <vector>

#include "bitmap/bitmap_store.h"

namespace drseed::sim {

class CrashDisk {
 public:
  static constexpr std::size_t kSector = 512;
  using Sector = std::array<std::uint8_t, kSector>;

  explicit CrashDisk(std::uint64_t size_bytes) : size_bytes_(size_bytes) {}

  std::uint64_t size_bytes() const { return size_bytes_; }
  // Operations (writes and syncs) until the power fails: the one numbered 0 does not happen any more.
  void fail_after(std::uint64_t operations) { operations_left_ = operations; }
  bool failed() const { return operations_left_ == 0; }
  std::uint64_t operations() const { return operations_; }

  // Power back: chooses what each unsynced sector holds.
  template <typename Random>
  void crash(Random& random) {
    for (auto& [sector, versions] : pending_) {
      const auto choice = random() % (versions.size() + 1);
      if (choice > 0) durable_[sector] = versions[choice - 1];
    }
    pending_.clear();
    operations_left_ = kNever;
  }

  void read(std::uint64_t offset, std::span<std::uint8_t> bytes) const {
    for (std::size_t at = 0; at < bytes.size(); at += kSector) {
      const auto found = find((offset + at) / kSector);
      const auto count = std::min(kSector, bytes.size() - at);
      if (found != nullptr) std::memcpy(&bytes[at], found->data(), count);
      if (found == nullptr) std::memset(&bytes[at], 0, count);
    }
  }

  // False: the power is gone. A write that the power failed in may have happened in part.
  bool write(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
    if (operations_left_ == 0) return false;
    for (std::size_t at = 0; at < bytes.size(); at += kSector) {
      Sector sector{};
      std::memcpy(sector.data(), &bytes[at], std::min(kSector, bytes.size() - at));
      pending_[(offset + at) / kSector].push_back(sector);
    }
    return count_operation();
  }

  bool sync() {
    if (operations_left_ == 0 || !count_operation()) return false;
    for (auto& [sector, versions] : pending_) durable_[sector] = versions.back();
    pending_.clear();
    return true;
  }

 private:
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};

  bool count_operation() {
    ++operations_;
    if (operations_left_ != kNever) --operations_left_;
    return operations_left_ != 0;
  }
  const Sector* find(std::uint64_t sector) const {
    if (const auto found = pending_.find(sector); found != pending_.end()) return &found->second.back();
    const auto found = durable_.find(sector);
    return found == durable_.end() ? nullptr : &found->second;
  }

  const std::uint64_t size_bytes_;
  std::unordered_map<std::uint64_t, Sector> durable_;
  std::map<std::uint64_t, std::vector<Sector>> pending_;  // ordered, so that a seed gives the same crash
  std::uint64_t operations_left_ = kNever;
  std::uint64_t operations_ = 0;
};

class CrashStore : public bitmap::BitmapStore {
 public:
  explicit CrashStore(CrashDisk& disk) : disk_(disk) {}
  std::string name() const override { return "simulated bitmap file"; }
  Result<std::uint64_t> size_bytes() override { return disk_.size_bytes(); }
  Result<> read(std::uint64_t offset_bytes, std::span<std::uint8_t> bytes) override {
    disk_.read(offset_bytes, bytes);
    return {};
  }
  Result<> write(std::uint64_t offset_bytes, std::span<const std::uint8_t> bytes) override {
    if (!disk_.write(offset_bytes, bytes)) return fail(ErrorCode::kEnvironment, "the power failed");
    return {};
  }
  Result<> sync() override {
    if (!disk_.sync()) return fail(ErrorCode::kEnvironment, "the power failed");
    return {};
  }

 private:
  CrashDisk& disk_;
};

}  // namespace drseed::sim
